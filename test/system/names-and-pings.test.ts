import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { LAB, systemSuite } from '../support/requirements.ts';
import { client } from './support/clients.ts';
import { GATEWAY, type Guest, HOST, HTTP_PORT, Lab, NOWHERE, OUTSIDE } from './support/lab.ts';
import { until } from './support/until.ts';

const DNS_PORT = 5353;
const ECHO_PORT = HTTP_PORT + 5;

systemSuite('DNS, UDP and ping', [...LAB, 'dig', 'dnsmasq', 'ping'], function () {
  this.timeout(30_000);
  let lab: Lab;
  let guest: Guest;

  before(async () => {
    lab = await Lab.open();
    const config = lab.path('dnsmasq.conf');
    const long = Array.from(
      { length: 60 },
      (_, i) => `host-record=big.example,198.51.100.${i + 1}`,
    );
    writeFileSync(
      config,
      [
        'no-resolv',
        'no-hosts',
        `port=${DNS_PORT}`,
        'listen-address=127.0.0.1',
        'bind-interfaces',
        'local=/example/',
        'host-record=www.example,198.51.100.7,2001:db8::7',
        'txt-record=text.example,one,two',
        'mx-host=example,mail.example,10',
        'srv-host=_http._tcp.example,www.example,8080',
        'cname=alias.example,www.example',
        ...long,
        '',
      ].join('\n'),
    );
    lab.host.start(['dnsmasq', '-k', '-C', config, '-u', 'root', '--pid-file=']);
    await until('dnsmasq to listen', async () =>
      (await lab.host.run('ss', '-Hltn', `sport = :${DNS_PORT}`)).includes('LISTEN'),
    );
    const hosts = lab.path('hosts');
    writeFileSync(hosts, '198.51.100.99 box.example\n');
    ({ guest } = await lab.standard([
      ...['--dns', `127.0.0.1#${DNS_PORT}`, '--hosts', hosts, '--dns-family', 'both'],
    ]));
  });
  after(() => lab.close());

  const dig = async (...args: string[]): Promise<string> =>
    (await guest.run('dig', `@${GATEWAY}`, '+time=2', '+tries=1', ...args)).trim();

  const answers: readonly (readonly [string, readonly string[], string])[] = [
    ['A', ['www.example'], '198.51.100.7'],
    ['AAAA', ['www.example', 'AAAA'], '2001:db8::7'],
    ['TXT', ['text.example', 'TXT'], '"one" "two"'],
    ['MX', ['example', 'MX'], '10 mail.example.'],
    ['SRV', ['_http._tcp.example', 'SRV'], '0 0 8080 www.example.'],
    ['CNAME and what it points to', ['alias.example'], 'www.example.\n198.51.100.7'],
    ['names in any case', ['WwW.eXaMpLe'], '198.51.100.7'],
    ['the host name of hawser', ['host.hawser.internal'], HOST],
    ['the gateway name of hawser', ['gateway.containers.internal'], GATEWAY],
  ];
  for (const transport of ['UDP', 'TCP']) {
    const flag = transport === 'TCP' ? ['+tcp'] : [];
    for (const [what, args, expected] of answers) {
      it(`dig over ${transport}: ${what}`, async () => {
        assert.equal(await dig('+short', ...flag, ...args), expected);
      });
    }
    it(`dig over ${transport}: a name that does not exist is NXDOMAIN`, async () => {
      assert.match(await dig(...flag, 'absent.example'), /status: NXDOMAIN/);
    });
    it(`dig over ${transport}: no record of a type is an empty NOERROR`, async () => {
      const answer = await dig(...flag, 'www.example', 'TXT');
      assert.match(answer, /status: NOERROR/);
      assert.match(answer, /ANSWER: 0/);
    });
  }

  for (const type of ['HTTPS', 'TXT', 'MX', 'AAAA']) {
    it(`a name of --hosts exists: it has no ${type} record, and is not NXDOMAIN`, async () => {
      assert.equal(await dig('+short', 'box.example'), '198.51.100.99');
      const answer = await dig('box.example', type);
      assert.match(answer, /status: NOERROR/);
      assert.match(answer, /ANSWER: 0/);
    });
  }

  it('an answer too long for UDP is truncated, and dig gets it all over TCP', async () => {
    assert.match(await dig('+noedns', '+ignore', 'big.example'), /flags:[^;]* tc/);
    const all = await dig('+noedns', '+short', 'big.example');
    assert.equal(all.split('\n').length, 60);
  });

  for (const [what, address] of [
    ['the gateway', GATEWAY],
    ['the host', HOST],
    ['an address outside', OUTSIDE],
  ] as const) {
    it(`ping reaches ${what}`, async () => {
      const text = await guest.run('ping', '-c', '5', '-i', '0.05', '-w', '5', address);
      assert.match(text, /5 received/);
    });
  }

  it('ping carries 8,000 bytes in fragments', async () => {
    const text = await guest.run('ping', '-c', '2', '-i', '0.05', '-w', '5', '-s', '8000', OUTSIDE);
    assert.match(text, /2 received/);
  });

  it('ping to an unreachable address fails', async () => {
    const { status, stdout } = await guest.try('ping', '-c', '2', '-i', '0.05', '-W', '1', NOWHERE);
    assert.equal(status, 1);
    assert.match(stdout, / 0 received/);
  });

  for (const size of [0, 1, 1472, 1473, 9000, 65_507]) {
    it(`a datagram of ${size} bytes goes there and back`, async () => {
      assert.deepEqual(await client(guest, 'udp', HOST, `${ECHO_PORT}`, `${size}`), {
        equal: true,
      });
    });
  }

  it('a closed UDP port is reported to the guest (ICMP port unreachable)', async () => {
    const script = `const s = require('dgram').createSocket('udp4');
      s.connect(9, '${HOST}', () => s.send('x'));
      s.on('error', (e) => { console.log(e.code); s.close(); });`;
    assert.equal((await guest.run(process.execPath, '-e', script)).trim(), 'ECONNREFUSED');
  });
});
