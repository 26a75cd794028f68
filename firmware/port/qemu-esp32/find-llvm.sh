#!/bin/sh
# Names of clang, llc and llvm-mc of the newest LLVM on the path that makes windowed code for the ESP32;
# exit code 1 if there is none.  Older ones take the name of the processor and ignore it.
versions=$(IFS=:; for folder in $PATH; do
    ls "$folder" 2>/dev/null
done | sed -n 's/^llc\(-[0-9][0-9]*\)$/\1/p' | sort -rVu)
for version in $versions ""; do
    names="clang$version llc$version llvm-mc$version"
    found=yes
    for name in $names; do
        command -v "$name" >/dev/null || found=no
    done
    if [ $found = yes ] && echo 'define void @f() { ret void }' |
        "llc$version" -mtriple=xtensa -mcpu=esp32 2>/dev/null | grep -q entry; then
        echo "$names"
        exit 0
    fi
done
exit 1
