;; Hands over a topic that lies outside its memory, and a message that does not.
(module
  (import "env" "set_output" (func $set_output (param i32 i32)))
  (import "env" "mqtt_publish" (func $mqtt_publish (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "message\00")
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (call $set_output (i32.const 23) (i32.const 1))
    (drop (call $mqtt_publish (i32.const -2147483648) (i32.const 0)))
    (i32.const 60000)))
