//! The right word nearest to a wrong one.

/// Of `words` the one that `typed` was most likely meant to be; none where nothing is near. Case is forgiven, and
/// of equally near words the first wins.
#[must_use]
pub fn nearest<'a>(typed: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = typed.to_lowercase();
    let far = 2 + lower.chars().count() / 3;
    words
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&lower, &word.to_lowercase()), word))
        .filter(|&(distance, word)| distance < far && distance < word.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_recognised_and_strangers_are_not() {
        let words = ["network", "coin", "store", "BTC"];
        assert_eq!(nearest("netwrok", words), Some("network"));
        assert_eq!(nearest("btc", words), Some("BTC"));
        assert_eq!(nearest("coins", words), Some("coin"));
        assert_eq!(nearest("leaderboard", words), None);
        assert_eq!(nearest("x", ["y"]), None, "one letter for another is no slip");
        assert_eq!(nearest("", words), None);
    }
}
