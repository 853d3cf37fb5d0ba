#!/bin/sh
# What `make demo` runs: the phase transition as 441 tasks on this machine, in a scratch repository in .demo.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
demo=$top/.demo
: "${BIN:=$top/.venv/bin}"

# Nothing of the person's is read or written: no git settings, no configuration folders, no git environment.
unset $(env | sed -n 's/^\(\(GIT\|CJ\|XDG\)_[A-Za-z0-9_]*\)=.*/\1/p')
export PATH="$BIN:$PATH" GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export XDG_CONFIG_HOME="$demo/xdg/config" XDG_DATA_HOME="$demo/xdg/data" XDG_STATE_HOME="$demo/xdg/state"
export XDG_CACHE_HOME="$demo/xdg/cache" XDG_RUNTIME_DIR="$demo/xdg/run"

bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
fi
say() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
show() {
    printf '%s$ %s%s\n' "$dim" "$1" "$plain"
    eval "$1"
}

if [ -d "$demo" ]; then
    chmod -R u+w "$demo" # the expanded code of a package is read-only
    rm -rf "$demo"
fi
mkdir -p "$demo/xdg"
mkdir -m 700 "$XDG_RUNTIME_DIR"
cp -R "$top/examples/phase_transition" "$demo/phase_transition"
cd "$demo/phase_transition"
rm -rf __pycache__ results.txt
git init --quiet --initial-branch main
git config user.name "Demo"
git config user.email "demo@example.org"
git add .
git commit --quiet -m "A script with two loops: 9 x 49 = 441 points"

say "1. Launch: every iteration of PT.py's two loops becomes a task"
show 'git cj parrun PT.py local -m "Phase transition of compressed sensing"'

say "2. Watch them run"
show 'git cj state --watch'

say "3. Harvest all results into one table, the parameters as columns"
show 'git cj reduce results.txt -o table.csv'
show 'head -n 6 table.csv'

say "4. Look: where recovery succeeds, where it fails"
show 'git cj plot --x delta --y epsilon --color pr'
show 'git cj plot --x delta --y epsilon --color pr -o pr.png'

say "5. Compare with the theory (Donoho and Tanner)"
show 'python compare.py table.csv --picture transition.png'

say "What was run is a commit; your branch, index and files are as they were"
show 'git cj log'
show 'git status --short --branch'

cat <<END

Pictures: .demo/phase_transition/pr.png and transition.png (with the theoretical curve)

Look further:
  cd .demo/phase_transition
  export PATH="$BIN:\$PATH" XDG_CONFIG_HOME="$XDG_CONFIG_HOME" XDG_DATA_HOME="$XDG_DATA_HOME" XDG_STATE_HOME="$XDG_STATE_HOME"
  git cj show @                 the manifest of what was launched
  git cj show @/100 --script    the exact script that reproduces task 100
  git cj reduce --by delta --agg "mean(pr),count()"
  git cj query "SELECT delta, avg(pr) FROM results GROUP BY delta"
  git cj checkout @ ../as-it-was
  git log --glob='refs/cj/*'    the audit trail, by git alone
END
