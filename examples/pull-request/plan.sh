#!/bin/sh
# Says what the commits of a branch would do to the fleet: checks the documents, plans from the merge base with the base
# branch to the head, and leaves the plan as Markdown in a file. Needs the repository and `hem`; no hub, no devices.
#
#   usage: plan.sh [OPTION…]      options go to `hem plan`: --detailed-exitcode, --deny restart, --max-devices 10% …
#
#   HEM         the program                                       (hem)
#   FLEET       folder of the documents                           (.)
#   BASE        revision that the change will be merged into      (origin/main)
#   HEAD        revision with the change                          (HEAD)
#   STATE       what the fleet is: a file or REV:path such as     (none)
#               origin/hemline/status:state.json
#   PLAN_FILE   where the Markdown goes                           (plan.md)
#   SARIF_FILE  where findings go for code scanning               (none)
#
# Exit codes: 0 nothing to do, or success · 1 an error, or invalid documents · 2 there are changes (only with
# --detailed-exitcode) · 3 refused by policy · 64 usage. The Markdown is there in every case but the last.
set -eu

hem=${HEM:-hem}
fleet=${FLEET:-.}
base=${BASE:-origin/main}
head=${HEAD:-HEAD}
plan_file=${PLAN_FILE:-plan.md}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A shallow clone may end before the merge base: fetch more of it, as little as will do.
if [ "$(git rev-parse --is-shallow-repository 2>/dev/null)" = true ]; then
    for more in --deepen=50 --deepen=500 --unshallow; do
        git merge-base "$base" "$head" >/dev/null 2>&1 && break
        git fetch --quiet "$more" >&2 || break
    done
fi

# Findings go to the log, with file, line and column, and to where the CI wants them. What is checked is what is checked out.
valid=0
"$hem" validate "$fleet" >&2 || valid=$?
if [ "${GITHUB_ACTIONS-}" = true ]; then
    "$hem" validate --format github "$fleet" 2>/dev/null || true
fi
if [ -n "${SARIF_FILE-}" ]; then
    "$hem" validate --format sarif "$fleet" >"$SARIF_FILE" 2>/dev/null || true
fi

# A fleet without a state yet is planned from documents alone.
state=${STATE-}
case $state in
*:*) git cat-file -e "$state" 2>/dev/null || [ -f "$state" ] || state= ;;
?*) [ -f "$state" ] || state= ;;
esac
if [ -n "${STATE-}" ] && [ -z "$state" ]; then
    echo "there is no $STATE; planning without it" >&2
fi

planned=0
"$hem" plan "$fleet" --base "$base" --head "$head" ${state:+--state "$state"} --format markdown "$@" \
    >"$work/plan.md" 2>"$work/complaints" || planned=$?

case $planned in
0 | 2 | 3) ;;
64)
    cat "$work/complaints" >&2
    exit 64
    ;;
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
