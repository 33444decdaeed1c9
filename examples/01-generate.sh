#!/bin/sh
# Ask for pictures by name. usage: 01-generate.sh MOUNTPOINT
set -eu
out="$1/models/tiny-emoji/out"

cat "$out/red apple.png" >apple.png                                    # a picture
cp "$out/red apple --seed 7 --steps 30.png" apple7.png                 # the same words, a fixed seed, more steps
cp "$out/a picture of a lion --size 192x128 --sampler Euler a.png" .   # another shape, another sampler
cat "$out/red apple --seed 7 --steps 30.txt"                           # what it was made with
cat "$out/red apple --stepz 7.png" >/dev/null || cat "$1/PROBLEM.txt"  # a slip of the pen is told, not drawn
