#!/usr/bin/env bash
# Writes the manual pages, one a command, from what the program says of itself.
# Usage: packaging/manual.sh PROGRAM DIRECTORY
set -euo pipefail
program=$1
directory=$2
name=swift-peft-train
version=$("$program" --version)
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%d)

# page TITLE COLUMN: help text in, manual page out. What an option means begins in COLUMN.
page() {
  awk -v title="$1" -v column="$2" -v version="$version" -v date="$date" '
    function escape(text) {
      gsub(/\\/, "\\e", text); gsub(/-/, "\\-", text)
      # A line of text that begins as a request does would be taken for one.
      if (text ~ /^[.\047]/) text = "\\&" text
      return text
    }
    function trim(text) { gsub(/^ +| +$/, "", text); return text }
    function flush() { if (described != "") printf ".SH DESCRIPTION\n%s", described; described = "" }
    BEGIN {
      printf ".TH %s 1 %s \"swift\\-peft\\-train %s\" \"User Commands\"\n", \
        escape(toupper(title)), date, version
    }
    sub(/^OVERVIEW: /, "") { part = "name"; printf ".SH NAME\n%s \\- ", escape(title) }
    sub(/^USAGE: /, "") {
      print ".SH SYNOPSIS"; print escape($0); part = "synopsis"; next
    }
    /^[A-Z][^:]*:$/ && part != "description" {
      flush(); sub(/:$/, ""); print ".SH " escape(toupper($0)); part = "list"; next
    }
    part == "name" && /^$/ { part = "description"; next }
    part == "name" { print escape($0); next }
    part == "description" { described = described ($0 == "" ? ".PP" : escape($0)) "\n"; next }
    /^  [^ ]/ && part == "list" {
      # A name that reaches into the column of meanings stands on a line of its own.
      both = length($0) >= column && substr($0, column - 1, 1) == " "
      print ".TP"; print "\\fB" escape(trim(both ? substr($0, 1, column - 1) : $0)) "\\fR"
      if (both) print escape(trim(substr($0, column)))
      next
    }
    !/^$/ { print escape(trim($0)) }
    END { flush() }'
}

mkdir -p "$directory"
mapfile -t commands < <("$program" --help | sed -n '/^SUBCOMMANDS:/,$s/^  \([a-z][a-z]*\) .*  .*/\1/p')
[ ${#commands[@]} -gt 5 ] || { echo "manual: $program --help lists no commands" >&2; exit 1; }

{
  "$program" --help | sed '/See .*help <subcommand>/d' | page "$name" 27
  cat <<'END'
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
The run failed; the last line on standard error says what, where, and what to do.
.TP
.B 64
The command line or configuration is wrong.
.TP
.B 65
An input file is wrong or damaged.
.TP
.B 73
An output cannot be written.
.TP
.B 75
Stopped on request (SIGUSR1, SIGTERM or the time limit) with a checkpoint saved: run again with
.BR \-\-resume .
.SH EXAMPLES
.nf
mpirun \-n 2 swift\-peft\-train
mpirun \-n 8 swift\-peft\-train \-\-model DIR \-\-data data.h5 \-\-output\-dir runs/first \-\-resume
.fi
END
  echo ".SH SEE ALSO"
  printf ".BR %s (1),\n" "${commands[@]/#/$name\\-}"
  echo ".BR mpirun (1)"
} >"$directory/$name.1"

for command in "${commands[@]}"; do
  {
    if [ "$command" = train ]; then
      "$program" train --help | sed '/^OPTIONS:/,$d' | page "$name-train" 27
      "$program" train --help-all | page "$name-train" 35 | sed '/^\.TH/d'
    else
      "$program" "$command" --help | page "$name-$command" 27
    fi
    echo ".SH SEE ALSO"
    [ "$command" = train ] || echo ".BR $name\\-train (1),"
    echo ".BR $name (1)"
  } >"$directory/$name-$command.1"
done
