#!/bin/sh
# Says what the commits of a branch would do to the fleet: checks the documents, plans from the merge base with the base
# branch to the head, and leaves the plan as Markdown in a file. Needs the repository and `hem`; no hub, no devices.
#
#   usage: plan.sh [--detailed-exitcode]
#
#   HEM        the program                                    (hem)
#   FLEET      folder of the documents                        (.)
#   BASE       revision that the change will be merged into   (origin/main)
#   HEAD       revision with the change                       (HEAD)
#   PLAN_FILE  where the Markdown goes                        (plan.md)
#
# Exit codes: 0 nothing to do, or success · 1 an error, or invalid documents · 2 there are changes (only with
# --detailed-exitcode) · 64 usage. The Markdown is there in every case but the last.
set -eu

hem=${HEM:-hem}
fleet=${FLEET:-.}
base=${BASE:-origin/main}
head=${HEAD:-HEAD}
plan_file=${PLAN_FILE:-plan.md}

detailed=
case "$#:${1-}" in
0:) ;;
1:--detailed-exitcode) detailed=--detailed-exitcode ;;
*)
    echo "usage: plan.sh [--detailed-exitcode]" >&2
    exit 64
    ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Findings go to the log, with file, line and column. What is checked is what is checked out.
valid=0
"$hem" validate "$fleet" >&2 || valid=$?

planned=0
"$hem" plan "$fleet" --base "$base" --head "$head" --format markdown $detailed \
    >"$work/plan.md" 2>"$work/complaints" || planned=$?

case $planned in
0 | 2) ;;
*)
    # The findings are in the log already; what else went wrong is not.
    [ "$valid" -ne 0 ] || cat "$work/complaints" >&2
    planned=1
    ;;
esac
if [ ! -s "$work/plan.md" ]; then
    printf '### No plan\n\nThe log of this job says why.\n\n<!-- hemline-plan -->\n' >"$work/plan.md"
fi
cp "$work/plan.md" "$plan_file"

[ "$valid" -eq 0 ] || planned=1
exit "$planned"
