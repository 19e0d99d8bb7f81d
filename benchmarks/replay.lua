-- For wrk: sends the bodies of a file, one hexadecimal line each, over and over, and prints what came of it as JSON.
-- wrk -s replay.lua URL -- BODIES CONTENT_TYPE

local thread_number = 0
local requests, at, unexpected = {}, 0, 0

function setup(thread)
  thread:set("start", thread_number * 7919)
  thread_number = thread_number + 1
end

function init(args)
  local headers = { ["Content-Type"] = args[2] }
  for line in io.lines(args[1]) do
    local body = line:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end)
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
  end
  at = start % #requests
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"seconds":%f,"refused":%d,"broken":%d,"p50_us":%d,"p99_us":%d}',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
