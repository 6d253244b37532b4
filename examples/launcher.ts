/**
 * A VM launcher: QEMU's network card is a descriptor of the child's, so that there is no socket in the file system that
 * somebody else could connect to, and the network ends with the launcher.
 *
 *     node launcher.js KERNEL INITRD
 *
 * When the guest serves HTTP on port 80, its answer is printed, and the launcher ends.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { createNetwork, OptionsError } from 'hawser';

const QEMU = process.env['QEMU'] ?? 'qemu-system-x86_64';
const [kernel, initrd] = process.argv.slice(2);
if (kernel === undefined || initrd === undefined) {
  console.error('usage: launcher KERNEL INITRD');
  process.exit(2);
}

try {
  await createNetwork({ mtu: 1 });
} catch (error) {
  if (error instanceof OptionsError) console.log(`as expected: ${error.message}`);
  else throw error;
}

const network = await createNetwork({ dnsSearch: [] });
network.on('guest', ({ kind, guest }) => console.log(`guest ${guest.mac} ${kind}`));
network.on('lease', ({ kind, lease }) => console.log(`lease of ${lease.address} ${kind}`));
network.on('port', ({ kind, port }) => console.log(`port ${port.hostPort} ${kind}`));

const qemu = spawn(
  QEMU,
  [
    ...['-M', 'pc', '-accel', 'tcg', '-m', '256', '-nodefaults', '-nographic', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', initrd, '-serial', 'stdio', '-monitor', 'none'],
    ...['-append', 'console=ttyS0 quiet panic=-1 rdinit=/init'],
    ...['-netdev', 'stream,id=n,server=off,addr.type=fd,addr.str=3'],
    ...['-device', 'virtio-net-pci,netdev=n,mac=52:54:00:68:77:03,romfile='],
  ],
  { stdio: ['ignore', 'ignore', 'inherit', 'pipe'] },
);
const failed = once(qemu, 'error').then(([error]) => {
  console.error(
    `cannot start ${QEMU}: ${error}; install it (package qemu-system-x86), or set QEMU`,
  );
  process.exit(2);
});
await Promise.race([once(qemu, 'spawn'), failed]);

const card = qemu.stdio[3];
if (!(card instanceof Duplex)) throw new Error('descriptor 3 of the child is no stream');
const link = network.attach(card, { name: 'qemu' });

const [port] = await network.publish('127.0.0.1:0:80');
const ended = link.closed.then(() => {
  throw new Error('QEMU has ended before the guest answered');
});
ended.catch(() => {}); // it is waited for below, or is what was wanted
console.log(await Promise.race([answer(`http://127.0.0.1:${port?.hostPort}/`), ended]));

// The same server without a port of the host's.
const connection = await network.dial({ port: 80 });
connection.end('HEAD / HTTP/1.0\r\n\r\n');
let head = '';
for await (const chunk of connection) head += chunk;
console.log(head.split('\r\n')[0]);

qemu.kill();
await link.closed;
await network.close();

/** Ask again until the guest is up and answers. A request has its own limit: `fetch` of Node 20 may miss that it was reset. */
async function answer(url: string): Promise<string> {
  const giveUpAt = performance.now() + 120_000;
  while (performance.now() < giveUpAt) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
      return (await response.text()).trim();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  throw new Error('the guest did not answer in two minutes');
}
