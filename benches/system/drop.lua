-- What wrk found, as one line of JSON on standard error.
done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
  io.stderr:write(string.format(
    '{"requests": %d, "bytes": %d, "seconds": %f, "failed": %d, "timeouts": %d, "p50": %f, "p99": %f}\n',
    summary.requests, summary.bytes, summary.duration / 1e6, failed, summary.errors.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
