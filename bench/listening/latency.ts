/**
 * In the host's namespace: from listen() in the guest to the first byte of the server here, so many times, at moments
 * that have nothing to do with the agent's looks. Both clocks are the machine's monotonic one.
 *
 *     latency.js NETNS SAMPLES
 */
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const [, , netns = '', count = '1'] = process.argv;
/** Below those that the kernel gives to clients: one that asks for its own port would answer itself. */
const FIRST_PORT = 2_000;
const SERVER = `
const { createServer } = require('node:net');
let port = ${FIRST_PORT};
process.stdin.on('data', () => setTimeout(() => {
  const server = createServer((socket) => { socket.end('x'); server.close(); });
  server.listen(port++, '127.0.0.1', () => console.log(String(process.hrtime.bigint())));
}, Math.random() * 600));
`;
const TRY_MS = 2;

const guest = spawn('nsenter', [`--net=${netns}`, '--', process.execPath, '-e', SERVER], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
process.on('exit', () => guest.kill());
const lines = createInterface(guest.stdout)[Symbol.asyncIterator]();

/** How many clients were accepted and had nothing. */
let empty = 0;

/** @returns when the first byte is here */
function firstByte(port: number): Promise<bigint> {
  return new Promise((resolve) => {
    const attempt = (): void => {
      const socket = connect(port, '127.0.0.1');
      let isDone = false;
      socket.once('data', () => {
        isDone = true;
        resolve(process.hrtime.bigint());
        socket.destroy();
      });
      socket.on('error', () => {});
      socket.once('close', (failed) => {
        if (isDone) return;
        if (!failed) empty++;
        setTimeout(attempt, TRY_MS);
      });
    };
    attempt();
  });
}

const took: number[] = [];
for (let i = 0; i < Number(count); i++) {
  guest.stdin.write('next\n');
  const [end, { value: begin }] = await Promise.all([firstByte(FIRST_PORT + i), lines.next()]);
  took.push(Number(end - BigInt(begin)) / 1e6);
}
guest.kill();
took.sort((a, b) => a - b);
const percentile = (p: number): string => (took[Math.ceil(took.length * p) - 1] ?? 0).toFixed(0);
process.stdout.write(
  `listen() in the guest to the first byte on the host, ${took.length} times: p50 ${percentile(0.5)} ms, p99 ${percentile(0.99)} ms, most ${percentile(1)} ms; ${empty} clients had nothing\n`,
);
