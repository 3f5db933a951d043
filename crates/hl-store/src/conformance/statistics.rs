use hl_core::TimeMs;
use hl_core::statistics::Figure;
use hl_core::time::DAY_MS;

use super::New;
use super::fixture::run;

/// A figure stays as it was first written, and a series is complete as far as somebody said who read it to its end.
pub fn statistics_are_written_once(new: New<'_>) {
    let subject = new();
    run(async {
        let (one, other) = (subject.open().await.unwrap(), subject.open().await.unwrap());
        let figure = |day: i64, subject: &str, value: f64| Figure {
            day: TimeMs(day * DAY_MS),
            subject: subject.to_owned(),
            name: "open_interest".to_owned(),
            value,
        };
        assert_eq!(one.statistics_through("open_interest").await.unwrap(), None);
        let figures = vec![figure(1, "BTC", 0.1), figure(1, "ETH", 1e300), figure(2, "BTC", -0.0)];
        assert_eq!(one.put_statistics("open_interest", figures, None).await.unwrap(), 3);
        assert_eq!(other.statistics_through("open_interest").await.unwrap(), None, "not read to its end");
        let figures = vec![figure(1, "BTC", 0.2), figure(3, "BTC", 0.3)];
        let through = Some(TimeMs(3 * DAY_MS));
        assert_eq!(other.put_statistics("open_interest", figures.clone(), through).await.unwrap(), 1);
        assert_eq!(other.put_statistics("funding_rate", figures, None).await.unwrap(), 2, "another series");
        assert_eq!(one.put_statistics("open_interest", Vec::new(), Some(TimeMs(DAY_MS))).await.unwrap(), 0);
        assert_eq!(one.statistics_through("open_interest").await.unwrap(), through, "it never goes back");
    });
}
