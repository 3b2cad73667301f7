"""Many arms on many seeds: drawn in pairs, tuned alike, tested once, compared with intervals."""
