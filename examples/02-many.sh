#!/bin/sh
# A session with settings of its own, and a sheet of seeds. usage: 02-many.sh MOUNTPOINT
set -eu
session="$1/sessions/seeds"

mkdir -p "$session/out/large"
printf 'model = tiny-emoji\nsteps = 25\nnegative = blurry\n' >"$session/generate.ini"
printf 'size = 256x256\n' >"$session/out/large/generate.ini"
for seed in 1 2 3 4; do
  cat "$session/out/cactus --seed $seed.png" >/dev/null
done
cat "$session/out/large/cactus --seed 1.png" >/dev/null
rsync -a "$session/out/" seeds/    # what is made, with exact sizes and steady times
ls -l seeds seeds/large
