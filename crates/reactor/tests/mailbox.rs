//! Messages from many threads.

use std::sync::Arc;
use std::thread;

use eventlet_reactor::Mailbox;

#[test]
fn messages_come_in_their_order() {
    let mailbox = Mailbox::default();
    assert!(mailbox.is_empty());
    assert_eq!(mailbox.take(), Vec::<u32>::new());
    for round in 0..3 {
        for number in 0..5 {
            mailbox.push(round * 5 + number);
        }
        assert!(!mailbox.is_empty());
        assert_eq!(
            mailbox.take(),
            (round * 5..round * 5 + 5).collect::<Vec<_>>()
        );
        assert!(mailbox.is_empty());
    }
}

#[test]
fn nothing_is_lost_among_threads() {
    const SENDERS: usize = 4;
    const EACH: usize = 20_000;
    let mailbox = Mailbox::new();
    let mut next = [0; SENDERS];
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let mailbox = &mailbox;
            scope.spawn(move || (0..EACH).for_each(|number| mailbox.push((sender, number))));
        }
        while next.iter().sum::<usize>() < SENDERS * EACH {
            for (sender, number) in mailbox.take() {
                assert_eq!(next[sender], number, "each sender's own order is kept");
                next[sender] += 1;
            }
        }
    });
    assert!(mailbox.is_empty());
}

#[test]
fn what_nobody_took_is_dropped() {
    let message = Arc::new(());
    let mailbox = Mailbox::new();
    mailbox.push(message.clone());
    mailbox.push(message.clone());
    drop(mailbox.take());
    mailbox.push(message.clone());
    drop(mailbox);
    assert_eq!(Arc::strong_count(&message), 1);
}
