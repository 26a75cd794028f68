;; Hands over a text from its memory, which it exports under a name that the host does not look for.
(module
  (import "env" "wasm_log" (func $wasm_log (param i32)))
  (memory (export "store") 1)
  (data (i32.const 0) "hello\00")
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (call $wasm_log (i32.const 0))
    (i32.const 60000)))
