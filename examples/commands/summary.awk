# One row about temperatures sorted by the second column: how many days, their median, days above the limit.
BEGIN { FS = "," }
{ value[NR] = $2; if ($2 + 0 > limit + 0) above++ }
END {
    median = NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2
    printf "days,median,above\n%d,%.2f,%d\n", NR, median, above
}
