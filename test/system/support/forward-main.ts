/** The docker proxy's forwarders on loopback: `node forward-main.js PORT udp:ADDRESS:PORT tcp:ADDRESS:PORT ...`. */
import { listen } from '../../../src/cli/docker-proxy/listening.ts';

const [, , port = '', ...targets] = process.argv;
for (const target of targets) {
  const [protocol, address = '', to = ''] = target.split(':');
  const at = { address: '127.0.0.1', port: Number(port) };
  await listen(protocol === 'udp' ? 'udp' : 'tcp', at, { address, port: Number(to) });
}
process.stdout.write('forwarding\n');
