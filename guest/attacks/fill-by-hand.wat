;; Fills its memory byte by byte, again and again: what remains of a bomb without bulk memory.
(module
  (import "env" "set_output" (func $set_output (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (local i32)
    (call $set_output (i32.const 23) (i32.const 1))
    (loop $for_ever
      (i32.store8 (i32.and (local.get 0) (i32.const 65535)) (local.get 0))
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br $for_ever))
    (i32.const 60000)))
