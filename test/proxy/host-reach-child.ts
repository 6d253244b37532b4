/**
 * Follows the reach of the namespace that it is started in, and prints a line for each change: `IPV4 IPV6 SOURCE CODE`.
 * With `watch` it is told of changes by the kernel, else it asks every 50 ms. Ends with its standard input.
 */
import { loadPosix } from '../../src/native/load.ts';
import { watchRoutes } from '../../src/native/route-events.ts';
import { HostReach } from '../../src/proxy/host-reach.ts';

const watches = process.argv[2] === 'watch';
const reach = new HostReach({ pollMs: watches ? 3_600_000 : 50 });
reach.follow(({ ipv4, ipv6, source6, code6 }) => {
  process.stdout.write(`${ipv4} ${ipv6} ${source6 ?? '-'} ${code6 ?? '-'}\n`);
});
if (watches) watchRoutes(loadPosix(), reach.onNetworkChange);
await reach.ask();
process.stdout.write('asked\n');
process.stdin.resume();
process.stdin.on('end', () => reach.close());
