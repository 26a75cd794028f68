//! The smallest reactor guest in Rust: the same as `threshold.c`.
//!
//! Neither `std` nor an allocator: all it needs is in `core`.
#![no_std]

use core::ptr::addr_of_mut;

#[link(wasm_import_module = "env")]
extern "C" {
    fn read_sensor(kind: i32) -> i32;
    fn set_output(pin: i32, state: i32);
    fn get_config(key: i32) -> i32;
    fn mqtt_publish(topic: *const u8, message: *const u8) -> i32;
}

const MOISTURE: i32 = 0;
const LIMIT: i32 = 2;
const VALVE: i32 = 23;
const INVALID: i32 = -1;
const OPEN_S: i32 = 60;

const METADATA: &[u8] = br#"{"name": "threshold-rs", "version": "1.0.0", "abi": 1,
"parameters": [{"id": 0, "name": "pause_s", "unit": "s",
                "minimum": 60, "maximum": 86400, "default": 3600}],
"outputs": [{"pin": 23, "name": "valve"}]}"#;

#[link_section = "levada"]
#[used]
static SECTION: [u8; METADATA.len()] = unsafe { *(METADATA.as_ptr() as *const _) };

struct State {
    pause_s: i32,
    open: bool,
}

static mut STATE: State = State { pause_s: 3600, open: false };

/// A guest has one thread, and no export calls another.
fn state() -> &'static mut State {
    unsafe { &mut *addr_of_mut!(STATE) }
}

#[no_mangle]
pub extern "C" fn abi_version() -> i32 {
    1
}

#[no_mangle]
pub extern "C" fn param_get(id: i32) -> i32 {
    if id == 0 { state().pause_s } else { INVALID }
}

#[no_mangle]
pub extern "C" fn param_set(id: i32, value: i32) -> i32 {
    if id != 0 || !(60..=86400).contains(&value) {
        return INVALID;
    }
    state().pause_s = value;
    0
}

#[no_mangle]
pub extern "C" fn init() -> i32 {
    unsafe { set_output(VALVE, 0) };
    state().pause_s * 1000
}

#[no_mangle]
pub extern "C" fn step() -> i32 {
    let state = state();
    let raw = unsafe { read_sensor(MOISTURE) };
    state.open = !state.open && raw > unsafe { get_config(LIMIT) }; // a missing probe is negative
    let message = if state.open { "{\"irrigar\":1}\0" } else { "{\"irrigar\":0}\0" };
    unsafe {
        set_output(VALVE, state.open as i32);
        mqtt_publish("data\0".as_ptr(), message.as_ptr());
    }
    if state.open { OPEN_S * 1000 } else { state.pause_s * 1000 }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
