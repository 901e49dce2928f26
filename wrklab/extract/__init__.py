"""From what hosts said, as stored raw, to records: wrk's reports, histograms, samples, windows. Pure."""
