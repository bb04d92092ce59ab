#!/bin/sh
# Connector as one file: this script, and behind it a Deno runtime and the program, both compressed. The first
# start unpacks them into the user's cache folder, named by their SHA-256; every start makes sure that nobody
# else can change them there, and becomes the runtime: same process, same signals, same exit code.
# scripts/build_self_extracting.ts fills in what stands between @ signs.
set -eu

runtime_sha256=@RUNTIME_SHA256@ runtime_size=@RUNTIME_SIZE@ runtime_start=@RUNTIME_START@ runtime_packed=@RUNTIME_PACKED@
program_sha256=@PROGRAM_SHA256@ program_size=@PROGRAM_SIZE@ program_start=@PROGRAM_START@ program_packed=@PROGRAM_PACKED@

fail() {
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 1
}

another_place="Set XDG_CACHE_HOME to a folder of your own"
close_it="Take that right from them, as with chmod go-w, or set XDG_CACHE_HOME to a folder of your own"

# GNU's find fails where it cannot return to, as in a folder that is closed to us. All paths here are absolute.
find_from_root() {
  (cd / && exec find "$@")
}

# Prints what others could exchange on the way to a folder, every symbolic link followed: links and folders of somebody
# else, and folders that a group or everybody may write to, unless they are sticky, as /tmp is. What is not there yet
# ends the way.
untrusted_on_the_way() {
  rest=$1 at='' links=0
  set -- /
  while [ -n "$rest" ]; do
    case $rest in
      */*) part=${rest%%/*} rest=${rest#*/} ;;
      *) part=$rest rest='' ;;
    esac
    case $part in
      '' | .) continue ;;
      ..)
        at=${at%/*}
        continue
        ;;
    esac
    if [ -L "$at/$part" ]; then
      set -- "$@" "$at/$part"
      # As many as the system follows.
      links=$((links + 1))
      [ "$links" -le 40 ] || return 1
      target=$(readlink "$at/$part") || return 1
      case $target in /*) at='' ;; esac
      rest=$target/$rest
    elif [ -e "$at/$part" ]; then
      at=$at/$part
      set -- "$@" "$at"
    else
      break
    fi
  done
  find_from_root "$@" -prune \( -type l ! -user 0 ! -user "$uid" \
    -o -type d \( ! -user 0 ! -user "$uid" -o \( -perm -002 -o -perm -020 \) ! -perm -1000 \) \) -print
}

sha256_of() {
  if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -c 1-64
}

# Where it is, what it must be: path, size. Nobody but us may have written it. What goes away meanwhile is not.
is_unpacked() {
  [ -f "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] &&
    [ -n "$(find_from_root "$1" -prune -size "${2}c" -perm -100 ! -perm -020 ! -perm -002 -print 2>/dev/null)" ]
}

# Removes what processes left that were killed, one by one: others may rename theirs at this moment, which is
# no failure of ours. One day counts as none for some find and as one for others, so +1 is the least that spares
# what another process has just begun.
remove_leftovers() {
  for each in "$store"/.unpack.*; do
    if [ -n "$(find_from_root "$each" -prune -type f -mtime +1 -print 2>/dev/null)" ]; then
      rm -f "$each" || true
    fi
  done
}

# Unpacks to: path, SHA-256, start and size of what is packed. Another process may do the same: the last one
# to rename wins, and both have the same bytes.
unpack() {
  temporary=$(mktemp "$store/.unpack.XXXXXX" 2>/dev/null) || fail "Cannot write to $store" "$another_place"
  trap 'rm -f "$temporary"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # Where SIGPIPE is ignored, as in a systemd unit, tail would complain that head wants no more. Options in the
  # variable GZIP are for those who compress.
  tail -c "+$3" "$0" 2>/dev/null | head -c "$4" | GZIP='' gzip -dc >"$temporary" || true
  [ "$(sha256_of "$temporary")" = "$2" ] ||
    fail "Cannot unpack $0 into $store: what came out is not what was packed" \
      "Is the disk full? Else the file is damaged: download it again"
  chmod 0500 "$temporary"
  mv -f "$temporary" "$1"
  trap - EXIT HUP INT TERM
}

# Whether there is such a folder, or can be, and we may write to it.
can_write() {
  folder=$1
  while [ ! -d "$folder" ] && [ ! -e "$folder" ] && [ ! -L "$folder" ]; do
    folder=${folder%/*}
    folder=${folder:-/}
  done
  [ -d "$folder" ] && [ -w "$folder" ] && [ -x "$folder" ]
}

uid=$(id -u)
# A service or a container may have no home, or one that it cannot write to.
case ${TMPDIR:-} in /*) without_home=${TMPDIR%/} ;; *) without_home=/tmp ;; esac
without_home=$without_home/connector-$uid
case ${XDG_CACHE_HOME:-} in
  /*) cache=$XDG_CACHE_HOME ;;
  *)
    case ${HOME:-} in
      /*)
        cache=${HOME%/}/@CACHE@
        if [ ! -d "$cache/connector" ] && ! can_write "$cache"; then cache=$without_home; fi
        ;;
      *) cache=$without_home ;;
    esac
    ;;
esac
case $cache in
  *[[:cntrl:]]*)
    fail "Cannot unpack: the path of the cache folder has control characters" "$another_place"
    ;;
esac
store=${cache%/}/connector

if [ ! -d "$store" ]; then
  untrusted=$(untrusted_on_the_way "$cache") || fail "Cannot tell who may change $cache" "$another_place"
  [ -z "$untrusted" ] || fail "Cannot unpack into $store: others can change $untrusted" "$close_it"
  # Closed to others from the first moment: another process may look at them before mkdir has set the mode.
  (umask 077 && mkdir -p "$cache" 2>/dev/null && { mkdir -m 700 "$store" 2>/dev/null || [ -d "$store" ]; }) ||
    fail "Cannot make the folder $store" "$another_place"
fi
# From here on without symbolic links.
given=$store
store=$(cd -P "$given" 2>/dev/null && pwd -P) || fail "Cannot open the folder $given" "$another_place"
# In a folder that hands down its group it has the set-group-ID bit.
{ [ -O "$store" ] && [ -n "$(find_from_root "$store" -prune \( -perm 0700 -o -perm 2700 \) -print)" ]; } ||
  fail "Cannot unpack into $store: the folder is not yours alone" "Remove it, or give it the mode 0700"
above=${store%/*}
untrusted=$(untrusted_on_the_way "$given" && untrusted_on_the_way "$store" &&
  find_from_root "${above:-/}" -prune \( -perm -002 -o -perm -020 \) -print) ||
  fail "Cannot tell who may change $given" "$another_place"
[ -z "$untrusted" ] || fail "Cannot unpack into $given: others can change $untrusted" "$close_it"

runtime=$store/deno-$runtime_sha256
program=$store/connector-$program_sha256.js
if ! is_unpacked "$runtime" "$runtime_size" || ! is_unpacked "$program" "$program_size"; then
  remove_leftovers
  is_unpacked "$program" "$program_size" ||
    unpack "$program" "$program_sha256" "$program_start" "$program_packed"
  is_unpacked "$runtime" "$runtime_size" ||
    unpack "$runtime" "$runtime_sha256" "$runtime_start" "$runtime_packed"
fi

[ -x "$runtime" ] || fail "Cannot run what is in $store: its file system forbids that" "$another_place"
# The runtime obeys more variables than the program may read, to write down keys or to be debugged for one. They are
# for those who use the runtime, and not for those who start this program.
for each in $(env | LC_ALL=C sed -n 's/^\([A-Z]*_[A-Za-z0-9_]*\)=.*/\1/p'); do
  case $each in DENO_* | NODE_* | OTEL_*) unset "$each" ;; esac
done
unset SSLKEYLOGFILE
# The runtime's own cache belongs beside it, and it has nothing to look for elsewhere.
export DENO_DIR="$store/deno" DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1
exec "$runtime" run --quiet --no-prompt --no-config --no-lock --no-remote --no-npm \
  --unstable-no-legacy-abort \
  @PERMISSIONS@ "$program" "$@"
# What follows is no script.
exit 1
