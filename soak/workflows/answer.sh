#!/bin/sh
# A model that keeps books of its own: a line for each call, in a file a run, before it
# answers. The prompt is `RUN PATH MANNER`.
set -f
set -- $(sed 's/.*"text":"\([^"]*\)".*/\1/')
# Who calls may die before it has asked.
[ $# -eq 3 ] || exit 1
echo "$2" >> "ledger/$1"
case $3 in
  flaky)
    if [ "$(grep -cxF "$2" "ledger/$1")" -lt 2 ]; then
      echo "busy" >&2
      exit 75
    fi
    ;;
  slow) sleep 0.1 ;;
  refuse)
    echo "never" >&2
    exit 1
    ;;
esac
echo "answer to $2"
