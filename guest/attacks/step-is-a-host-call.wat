;; Has the host call its own `now_s` as the step of the guest.
(module
  (import "env" "now_s" (func $now_s (result i32)))
  (memory (export "memory") 1)
  (func (export "init") (result i32) (i32.const 0))
  (export "step" (func $now_s))
  (func (export "abi_version") (result i32) (i32.const 1)))
