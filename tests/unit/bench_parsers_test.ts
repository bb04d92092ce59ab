// The readers of wrk's, ab's and iperf3's output, on output that these programs wrote: wrk 4.1.0,
// ab 2.3 and iperf 3.12 (cut to the members around the one that is read).

import assert from "node:assert/strict";

import { parseAb, parseIperf3, parseWrk } from "../../bench/parsers.ts";

const WRK_ONE_CONNECTION = `Running 1s test @ http://127.0.0.1:18080/
  1 threads and 1 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   289.00us  363.19us   5.54ms   94.60%
    Req/Sec     4.18k   586.29     5.29k    70.00%
  Latency Distribution
     50%  206.00us
     75%  250.00us
     90%  385.00us
     99%    2.09ms
  4177 requests in 1.00s, 624.10KB read
Requests/sec:   4160.69
Transfer/sec:    621.67KB
`;

// wrk leaves a space after latencies of a second and more.
const WRK_SLOW = `Running 3s test @ http://127.0.0.1:18092/
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.11s     7.68ms   1.12s   100.00%
    Req/Sec     3.00      0.00     3.00    100.00%
  Latency Distribution
     50%    1.12s${" "}
     75%    1.12s${" "}
     90%    1.12s${" "}
     99%    1.12s${" "}
  8 requests in 3.01s, 320.00B read
Requests/sec:      2.66
Transfer/sec:     106.38B
`;

const WRK_FAILURES = `Running 1s test @ http://127.0.0.1:18090/
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   381.50us  541.57us   6.43ms   93.25%
    Req/Sec     9.56k     2.01k   11.92k    70.00%
  Latency Distribution
     50%  223.00us
     75%  326.00us
     90%  680.00us
     99%    3.16ms
  9522 requests in 1.00s, 368.23KB read
  Socket errors: connect 0, read 1586, write 0, timeout 0
  Non-2xx or 3xx responses: 1904
Requests/sec:   9515.48
Transfer/sec:    367.98KB
`;

const AB = `This is ApacheBench, Version 2.3 <$Revision$>
Copyright 1996 Adam Twiss, Zeus Technology Ltd, http://www.zeustech.net/
Licensed to The Apache Software Foundation, http://www.apache.org/

Benchmarking 127.0.0.1 (be patient).....done


Server Software:        nginx/1.22.1
Server Hostname:        127.0.0.1
Server Port:            18080

Document Path:          /
Document Length:        6 bytes

Concurrency Level:      16
Time taken for tests:   1.000 seconds
Complete requests:      7804
Failed requests:        0
Total transferred:      1155584 bytes
HTML transferred:       46848 bytes
Requests per second:    7800.89 [#/sec] (mean)
Time per request:       2.051 [ms] (mean)
Time per request:       0.128 [ms] (mean, across all concurrent requests)
Transfer rate:          1128.05 [Kbytes/sec] received
`;

const AB_FAILURES = `Concurrency Level:      4
Time taken for tests:   1.000 seconds
Complete requests:      6084
Failed requests:        4563
   (Connect: 0, Receive: 0, Length: 4563, Exceptions: 0)
Non-2xx responses:      912
Total transferred:      177957 bytes
HTML transferred:       4563 bytes
Requests per second:    6082.98 [#/sec] (mean)
`;

const IPERF3_REVERSE = `{
	"end":	{
		"sum_sent":	{
			"start":	0,
			"end":	1.002805,
			"seconds":	1.002805,
			"bytes":	1243873280,
			"bits_per_second":	9923151799.2032356,
			"retransmits":	12,
			"sender":	false
		},
		"sum_received":	{
			"start":	0,
			"end":	1.000029,
			"seconds":	1.000029,
			"bytes":	1242955670,
			"bits_per_second":	9943357002.6469231,
			"sender":	false
		}
	}
}`;

const IPERF3_REFUSED = `{
	"start":	{
		"connected":	[],
		"version":	"iperf 3.12",
		"system_info":	"Linux vm 6.18.44 #1 SMP PREEMPT_DYNAMIC x86_64"
	},
	"intervals":	[],
	"end":	{
	},
	"error":	"unable to connect to server: Connection refused"
}`;

Deno.test("wrk: rate and latencies in milliseconds", () => {
  assert.deepEqual(parseWrk(WRK_ONE_CONNECTION), {
    requestsPerSecond: 4160.69,
    p50: 0.206,
    p99: 2.09,
    failures: 0,
  });
});

Deno.test("wrk: latencies in seconds", () => {
  const { p50, p99, requestsPerSecond } = parseWrk(WRK_SLOW);
  assert.deepEqual([p50, p99, requestsPerSecond], [1120, 1120, 2.66]);
});

Deno.test("wrk: socket errors and error answers are failures", () => {
  assert.equal(parseWrk(WRK_FAILURES).failures, 1586 + 1904);
});

Deno.test("wrk: no answer at all is an error that shows the output", () => {
  assert.throws(
    () => parseWrk("unable to connect to 127.0.0.1:18081 Connection refused\n"),
    /^SyntaxError: Cannot read wrk's output: .*unable to connect to 127\.0\.0\.1:18081/,
  );
});

Deno.test("wrk: without --latency there is no distribution to read", () => {
  const withoutLatency = WRK_ONE_CONNECTION.replace(/ {2}Latency Distribution\n( +\d+%.*\n)+/, "");
  assert.throws(() => parseWrk(withoutLatency), /a latency at 50 % is not in/);
});

Deno.test("ab: rate", () => {
  assert.deepEqual(parseAb(AB), { requestsPerSecond: 7800.89, failures: 0 });
});

Deno.test("ab: failed requests and error answers are failures", () => {
  assert.deepEqual(parseAb(AB_FAILURES), { requestsPerSecond: 6082.98, failures: 4563 + 912 });
});

Deno.test("ab: an abort is an error", () => {
  assert.throws(
    () => parseAb("apr_socket_recv: Connection refused (111)\n"),
    /^SyntaxError: Cannot read ab's output: requests per second/,
  );
});

Deno.test("iperf3: what was received counts, not what was sent", () => {
  assert.deepEqual(parseIperf3(IPERF3_REVERSE), { bitsPerSecond: 9943357002.6469231 });
});

Deno.test("iperf3: its own error is passed on", () => {
  assert.throws(
    () => parseIperf3(IPERF3_REFUSED),
    /iperf3 reports: unable to connect to server: Connection refused/,
  );
});

Deno.test("iperf3: a report without a result is an error", () => {
  for (
    const report of ["{}", "null", "[]", `{"end": {"sum_received": {"bits_per_second": "1"}}}`]
  ) {
    assert.throws(() => parseIperf3(report), /no end\.sum_received\.bits_per_second/);
  }
});

Deno.test("iperf3: output that is not JSON is an error", () => {
  assert.throws(() => parseIperf3("iperf3: interrupt"), SyntaxError);
});
