/** `--no-host-access`: none of the host's own addresses answers a guest; all else does, and hawser's own services. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY, type Guest, HOST, HOST_OUTER, HTTP_PORT, Lab, OUTSIDE } from './support/lab.ts';

/** An address of the host's that is in use by nothing else. */
const HOST_OTHER = '198.18.7.7';
const ECHO = HTTP_PORT + 5;

const SEND = `const s = require('dgram').createSocket('udp4');
  const end = (what) => { console.log(what); process.exit(); };
  s.on('error', (e) => end(e.code));
  s.on('message', () => end('answered'));
  s.connect(+process.argv[2], process.argv[1], () => s.send('x', (e) => e && end(e.code)));
  setTimeout(end, 3000, 'silence');`;

systemSuite('access to the host', [...LAB, 'curl', 'ping'], function () {
  this.timeout(60_000);

  for (const isOpen of [true, false]) {
    describe(isOpen ? 'by default' : 'with --no-host-access', () => {
      let lab: Lab;
      let guest: Guest;

      before(async () => {
        lab = await Lab.open();
        await lab.host.run('ip', 'addr', 'add', `${HOST_OTHER}/32`, 'dev', 'lo');
        await lab.startServers(lab.outside);
        ({ guest } = await lab.standard(isOpen ? [] : ['--no-host-access']));
      });
      after(() => lab.close());

      const reaches = async (address: string, is: boolean): Promise<void> => {
        const tcp = await guest.try('curl', '-sS', '-m', '5', `http://${address}:${HTTP_PORT}/`);
        assert.equal(tcp.status === 0, is, `TCP: ${tcp.stderr}`);
        const udp = await guest.run(process.execPath, '-e', SEND, address, `${ECHO}`);
        assert.equal(udp.trim() === 'answered', is, `UDP: ${udp}`);
        const ping = await guest.try('ping', '-c', '1', '-W', '1', address);
        assert.equal(ping.status === 0, is, `ping: ${ping.stdout}`);
      };

      for (const address of [HOST, HOST_OUTER, HOST_OTHER]) {
        it(`${address} is ${isOpen ? 'open' : 'closed'} to TCP, UDP and pings`, async () => {
          await reaches(address, isOpen);
        });
      }

      it('what is beyond the host is open', async () => await reaches(OUTSIDE, true));

      it('the gateway answers pings', async () => {
        const ping = await guest.try('ping', '-c', '1', '-W', '1', GATEWAY);
        assert.equal(ping.status, 0, ping.stdout);
      });
    });
  }
});
