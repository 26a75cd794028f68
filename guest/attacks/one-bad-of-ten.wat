;; Does its work until its probe does not answer, then writes wherever it can and traps.
(module
  (import "env" "set_output" (func $set_output (param i32 i32)))
  (import "env" "read_sensor" (func $read_sensor (param i32) (result i32)))
  (import "env" "log_int" (func $log_int (param i32)))
  (memory (export "memory") 1)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (local i32)
    (call $set_output (i32.const 23) (i32.const 1))
    (if (i32.lt_s (call $read_sensor (i32.const 0)) (i32.const 0))
      (then
        (loop $all
          (i32.store (local.get 0) (i32.const -1))
          (br_if $all (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 4))) (i32.const 65536))))
        unreachable))
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
    (call $log_int (i32.load (i32.const 0)))
    (i32.const 60000)))
