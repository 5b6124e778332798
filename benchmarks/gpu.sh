#!/usr/bin/env bash
# What to run where an accelerator is at hand, in order of value. Every part ends within nine minutes and, given again,
# goes on where it was stopped. What is small of the results is copied to $RESULTS.
#
#   bash benchmarks/gpu.sh                    all parts
#   bash benchmarks/gpu.sh cifar10 cascade    some
#
# JAX for the accelerator has to be installed: pip install -c constraints.txt -e '.[test,gpu]'
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python}
data=${DATA_DIR:-$HOME/tensorflow_datasets}
results=${RESULTS:-gpu_results}
store=${STORE:-runs/gpu}
seconds=${SECONDS_A_PART:-520}
mkdir -p "$results"

part_tests() { # the promises that do not depend on the device, on the device
  JAX_PLATFORMS=${JAX_PLATFORMS:-cuda} "$python" -m pytest -q -x -p no:cacheprovider -m "not slow" \
    tests/estimators/test_closed_forms.py tests/attacks/test_attack_contract.py tests/compatibility/test_pair_distances.py \
    tests/test_parallel.py tests/test_training.py
}

part_cifar10() { # PreAct-ResNet18 with three seeds: trains and measures what fits into the time
  "$python" -m experiments.study --preset=cifar10 --data_dir="$data" --store="$store" --progress=false
  cp "$store"/study-*/results.{json,csv} "$store"/study-*/page.html "$results" 2>/dev/null
}

part_cascade() { # AutoAttack's standard suite on the first trained network
  local run
  run=$(dirname "$(ls "$store"/*/model.json 2>/dev/null | head -1)")
  [ -f "$run/model.json" ] || { echo "no trained network in $store: run the part cifar10 before"; return 1; }
  "$python" -m experiments.robustness --run_dir="$run" --data_dir="$data" --num_test=1000 --corruptions=small \
    --attacks=standard --progress=false
}

part_systems() { "$python" -m benchmarks.systems; }
part_estimators() { "$python" -m benchmarks.estimators; }
part_attacks() { "$python" -m benchmarks.attacks; }
part_compatibility() { "$python" -m benchmarks.compatibility; }
part_corruptions() { "$python" -m benchmarks.corruptions; }

export -f $(declare -F | sed -n 's/^declare -f \(part_.*\)/\1/p')
export python data results store
for part in "${@:-tests cifar10 cascade systems estimators attacks compatibility corruptions}"; do
  for name in $part; do
    echo "== $name, $(date -u +%FT%TZ)"
    timeout --signal=TERM --kill-after=20 "$seconds" bash -c "part_$name" 2>&1 | tee "$results/$name.txt"
    echo "== $name ended with status ${PIPESTATUS[0]} (124: its time was up; the same command continues)"
  done
done
