//! What a connection costs that waits for a message.

use eventlet_websocket::{Codec, Limits, MessageKind, Role};

#[test]
fn an_idle_connection_is_small() {
    let agreed = eventlet_websocket::deflate::Parameters::default();
    let mut server = Codec::new(Role::Server, Limits::default(), Some(agreed));
    assert!(server.memory() < 512, "{} bytes", server.memory());

    // Also after a message that had to be gathered, and a control frame in pieces.
    let mut wire = Vec::new();
    let mut client = Codec::new(Role::Client, Limits::default(), None);
    let key = Some([1, 2, 3, 4]);
    client.message(
        MessageKind::Text,
        &vec![b'x'; 100_000],
        (true, true),
        key,
        &mut wire,
    );
    Codec::control(eventlet_websocket::Opcode::Ping, &[7; 100], key, &mut wire);
    let mut events = 0;
    for piece in wire.chunks_mut(1000) {
        let mut at = 0;
        while at < piece.len() {
            let (used, event) = server.decode(&mut piece[at..]).expect("valid");
            events += usize::from(event.is_some());
            at += used;
        }
    }
    assert_eq!(events, 2);
    assert!(server.is_idle());
    assert!(server.memory() < 512, "{} bytes", server.memory());
    assert!(!server.has_deflate_state());
}
