/**
 * A crowd that says nothing: so many connections to a port of this machine, each made again when it is cut. A process of its own,
 * for what a crowd does costs as much as what its server does, and is not its server's time. Prints how many connections it had
 * when its standard input ends.
 */
import { connect } from 'node:net';

const [port, crowd] = process.argv.slice(2).map(Number);
const MANY = 1_001;
let connected = 0;

function intrude(): void {
  const socket = connect(port ?? 0, '127.0.0.1', () => {
    connected++;
    if (connected === crowd) process.stdout.write('all\n');
    if (connected === MANY) process.stdout.write('many\n');
  });
  socket.on('error', () => {}); // cut
  socket.once('close', () => setImmediate(intrude));
}

for (let i = 0; i < (crowd ?? 0); i++) intrude();
process.stdin.resume();
process.stdin.on('end', () => {
  process.stdout.write(`${connected}\n`, () => process.exit());
});
