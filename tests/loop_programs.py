"""Programs with loops, each below a line that names it."""

from __future__ import annotations


def read(text: str) -> dict[str, str]:
    """The programs of a text by their names."""
    parts = [part.partition("\n") for part in text.split("#: ")[1:]]
    return {name: program for name, _, program in parts}


# Whose values the text alone fixes.
CERTAIN = read(
    """
#: two ranges
for i in range(3):
    for j in range(2):
        print(i, j)
#: a negative step
for i in range(5, -5, -3):
    print(i)
#: float steps
for x in [0.1, 0.2, 0.1 + 0.2]:
    print(repr(x))
#: strings
for name in 'alpha', 'beta':
    for letter in 'xy':
        print(name, letter)
#: enumerate
for i, x in enumerate([2.5, 'a', None, True], 1):
    print(i, x)
#: zip
n = 3
for a, (b, c) in zip(range(n), enumerate('xyz')):
    print(a, b, c)
#: len of a name
xs = [3, 4]
for i in range(len(xs)):
    print(xs[i])
#: product
import itertools as it
for a, b in it.product(range(2), 'ab', repeat=1):
    print(a, b)
#: sorted and reversed
for a in sorted([3, 1, 2]):
    for b in reversed(range(2)):
        print(a, b)
#: an inner range that depends
for i in range(4):
    for j in range(i):
        print(i, j)
#: the guard
n = 2
if __name__ == '__main__':
    for i in range(n):
        print(i)
#: with and try
import io
try:
    with io.StringIO() as f:
        for i in range(2):
            print(i)
finally:
    done = True
#: numpy
import numpy as np
n = 3
for d in np.linspace(0.1, 0.9, n):
    for e in np.arange(0.02, 0.1, 0.02):
        print(d, e, type(d))
#: numpy by name
from numpy import array, linspace
for a in array([1, 2.5]) * 2:
    for b in linspace(-1, 1, 3):
        print(a, b)
#: a loop in the body
for i in range(2):
    for j in range(3):
        pass
    print(i, j)
#: continue
for i in range(3):
    if i == 1:
        continue
    print(i)
#: else
for i in range(2):
    print(i)
else:
    print('else')
#: the same name twice
for i in range(2):
    for i in 'xy':
        print(i)
#: a name in a function
def f(n):
    n = 1
    return n
n = 2
for i in range(n):
    print(f(i))
#: tabs and a semicolon
n = 2; m = 2
for i in range(n):
	for j in range(m):
		print(i, j)
#: nan and infinity
for x in [float('inf'), -float('inf'), float('nan')]:
    print(x)
#: unpacked names
n, m = 2, 3
for i in range(n):
    for j in range(m):
        print(i, j)
"""
)

# That must be run up to their loops.
RUN = read(
    """
#: a comprehension
for x in [i * 0.1 for i in range(3)]:
    print(repr(x))
#: a set of numbers
for x in {3, 1, 2}:
    print(x)
#: a name bound twice
n = 1
n = 3
for i in range(n):
    print(i)
#: a changed list
xs = [1]
xs.append(2)
for x in xs:
    print(x)
#: a list changed by another name
xs = [1]
ys = xs
ys.append(2)
for x in xs:
    print(x)
#: a list changed in a function
xs = [1]
def f():
    xs.append(2)
f()
for x in xs:
    print(x)
#: a global
n = 1
def f():
    global n
    n = 2
f()
for i in range(n):
    print(i)
#: a shadowed range
def range(n):
    return [n, n + 1]
for i in range(7):
    print(i)
#: exec
n = 1
exec('n = 2')
for i in range(n):
    print(i)
#: an iterator by name
it = zip('ab', 'cd')
for i in 'xy':
    for a, b in it:
        print(i, a, b)
#: a file's lines
for line in open(__file__ if '__file__' in dir() else 'PT.py'):
    print(line, end='')
#: a dict's items
d = {'a': 1, 'b': 2}
for k, v in d.items():
    print(k, v)
#: objects
class A:
    def __init__(self, n): self.n = n
for a in [A(1), A(2)]:
    print(a.n)
#: a star target
for a, *b in [(1, 2, 3), (4,)]:
    print(a, b)
#: a condition
import os
if os.sep == '/':
    for i in range(2):
        print(i)
#: rows of a matrix
import numpy as np
for row in np.eye(2):
    print(row)
#: small numpy types
import numpy as np
for x in np.array([0.1, 0.2], dtype='f4'):
    print(x)
#: seeded numbers
import numpy as np
rng = np.random.default_rng(5)
for x in rng.random(3):
    print(x)
#: dates
import datetime as d
for x in [d.date(2026, 1, 1), d.date(2026, 1, 2)]:
    print(x)
#: powers
for n in [10 ** k for k in range(3)]:
    print(n)
#: walrus
if (n := 2):
    for i in range(n):
        print(i)
#: powers of ten
import numpy as np
for x in np.logspace(-2, 2, 9):
    print(repr(x))
"""
)

# That are refused; each is named by words of its error.
REFUSED = read(
    """
#: PT.py:2: break ends the loop on line 1 early
for i in range(3):
    break
#: PT.py:4: break ends
for i in range(3):
    for j in range(3):
        if j:
            break
#: PT.py:5: break ends
for i in range(3):
    while 1:
        pass
    else:
        break
#: PT.py:1: a while loop
while True:
    for i in range(3):
        pass
#: the one on line 2 is inside the function main
def main():
    for i in range(3):
        pass
main()
#: has no for loop at module level
x = [i for i in range(3)]
#: 2 loop nests: line 1 (i); line 3 (j)
for i in range(3):
    pass
for j in range(3):
    pass
#: the loop nest on line 1 has no iterations: an empty sweep
for i in []:
    pass
#: the loop nest on line 2 has no iterations: an empty sweep
n = 0
for i in range(3):
    for j in range(n):
        pass
#: the nest on line 1 has more than the configured maximum of 1000
for i in range(5000):
    pass
#: 2500 tasks are more than the configured
for i in range(50):
    for j in range(50):
        pass
#: the nest on line 2 has more than the configured maximum of 1000
import itertools
for i in itertools.count():
    pass
#: PT.py:1: invalid syntax: x = 1 +
x = 1 +
for i in x:
    pass
#: PT.py:1: the loop assigns to a.b
for a.b in range(3):
    pass
#: PT.py:2: the loop assigns to xs[0]
xs = [0]
for xs[0] in range(3):
    pass
#: names beginning with cj_ are reserved
for cj_task in range(3):
    pass
#: PT.py:3: the loop on line 2 runs over xs, which its body changes
xs = [1]
for x in xs:
    xs.append(x)
#: PT.py:4: the loop on line 3
n = 2
for i in range(n):
    for j in range(n):
        n = n + 1
#: PT.py:3: the loop on line 2 runs over it
it = iter('abc')
for x in it:
    next(it)
#: PT.py:2: the loop runs over the iterator it
it = iter('abc')
for x in it:
    print(list(it))
#: PT.py:2: ZeroDivisionError: division by zero
n = int('3')
1 / (n - 3)
for i in range(n, *[]):
    pass
#: PT.py:2: it ended with exit code no input
import sys
sys.exit('no input')
for i in range(3):
    pass
#: it ended before it came to the loop
import os
if os.sep == 'x':
    for i in range(3):
        pass
#: 2 loop nests
import os
os.kill(os.getpid(), 9)
for i in range(int(3)):
    exit()
for j in map(int, '12'):
    pass
#: more than the configured maximum
import random
for i in range(random.randrange(1, 10 ** 9)):
    pass
#: PT.py:2: what this loop runs over depends on random
import random
for x in [random.random()]:
    pass
#: depends on random numbers
import numpy as np
for x in np.random.default_rng().random(2):
    pass
#: PT.py:1:
for x in {'a', 'b', 'c', 'd', 'e'}:
    pass
"""
)
