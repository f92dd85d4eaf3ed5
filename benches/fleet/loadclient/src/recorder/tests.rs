use super::*;

/// A change from content 1 to content 2.
fn changed(target: usize) -> Event {
    Event::Changed(target, 1, 2)
}

#[tokio::test]
async fn a_bump_ends_when_all_subscribers_saw_it() {
    let recorder = Recorder::new(3, 2);
    for stream in 0..2 {
        recorder.event(stream, &Event::Tracking(1, 1), 1);
    }
    let start = recorder.begin_bump(1);
    recorder.event(0, &changed(1), start + 1_000_000);
    recorder.event(0, &changed(1), start + 2_000_000); // seen before
    recorder.event(1, &changed(0), start + 1_000_000); // another target
    recorder.wait_bump(Duration::from_millis(1)).await;
    recorder.event(1, &changed(1), start + 3_000_000);
    recorder.wait_bump(Duration::from_mins(1)).await;
    assert_eq!(format!("{:?}", recorder.end_bump(start)), "[1.0, 3.0]");
    assert_eq!(format!("{:?}", recorder.end_last_bump(start)), "[2.0, 3.0]");
    assert_eq!(recorder.unexpected.load(Relaxed), 2);
}

#[test]
fn changes_in_an_open_loop_are_counted_and_expected() {
    let recorder = Recorder::new(2, 2);
    recorder.event(0, &Event::Tracking(1, 1), 1);
    recorder.begin_open_loop();
    recorder.event(0, &changed(0), 2);
    let start = recorder.begin_bump(1);
    recorder.event(0, &changed(1), start);
    assert_eq!(recorder.end_open_loop(), 2);
    assert_eq!(recorder.unexpected.load(Relaxed), 0);
}

#[test]
fn a_stream_that_missed_a_change_shows_beside_one_that_has_just_joined() {
    let (fleet, newest) = (Recorder::new(2, 2), Recorder::new(1, 2));
    for stream in 0..2 {
        fleet.event(stream, &Event::Tracking(0, 1), 1);
    }
    newest.event(0, &Event::Tracking(0, 2), 1);
    fleet.event(0, &changed(0), 1);
    assert_eq!(fleet.compare(&newest), (1, 1));
    fleet.event(1, &changed(0), 1);
    assert_eq!(fleet.compare(&newest), (1, 0));
}

#[tokio::test]
async fn completion_is_timed_from_the_run_and_from_the_stream() {
    let recorder = Recorder::new(2, 0);
    recorder.opened[1].store(4_000_000, Relaxed);
    recorder.event(1, &Event::Complete, 10_000_000);
    assert_eq!(recorder.incomplete(), 1);
    let (since_start, since_opened) = recorder.completion_ms();
    assert_eq!(format!("{since_start:?} {since_opened:?}"), "[10.0] [6.0]");
}
