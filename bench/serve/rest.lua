-- Posts the row in QUERN_BODY over and over; prints what rest.py reads.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = os.getenv("QUERN_BODY")

function done(summary, latency, requests)
    local errors = summary.errors
    print(string.format("result %.1f %.1f %.1f %d", summary.requests / (summary.duration / 1e6),
                        latency:percentile(50), latency:percentile(99),
                        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
