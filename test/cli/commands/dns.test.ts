import assert from 'node:assert/strict';
import { dnsCommand } from '../../../src/cli/commands/dns.ts';
import { ApiClient, ApiClientError } from '../../../src/control/client.ts';
import { dnsRecordSchema } from '../../../src/control/dns-routes.ts';
import { UsageError } from '../../../src/network/errors.ts';
import { NAME_RECORDS_MAX, NameRecords } from '../../../src/services/dns/name-records.ts';
import { ip } from '../../proxy/recording.ts';
import type { FakeNetwork } from '../fake-network.ts';
import { ServedNetwork } from '../served-network.ts';

describe('hawser dns', () => {
  let served: ServedNetwork;
  let path: string;
  let network: FakeNetwork;

  beforeEach(async () => {
    served = await new ServedNetwork().serve();
    ({ path, network } = served);
  });
  afterEach(() => served.close());

  const says = async (args: readonly string[], json = false): Promise<string> =>
    await dnsCommand({
      ...{ name: 'default', api: `unix:${path}`, apiTokenFile: undefined },
      ...{ args, json },
    });
  const refused = (args: readonly string[], status: number, words: RegExp): Promise<void> =>
    assert.rejects(says(args), (error: ApiClientError) => {
      assert.ok(error instanceof ApiClientError);
      assert.equal(error.status, status);
      assert.match(error.message, words);
      return true;
    });

  it('gives names addresses, lists them, and takes them away', async () => {
    assert.equal(await says(['list']), 'No records.\n');
    assert.equal(await says(['add', 'DB.test.', '192.0.2.1']), 'db.test is 192.0.2.1.\n');
    await says(['add', 'db.test', '192.0.2.1']);
    await says(['add', 'db.test', '2001:db8::1']);
    await says(['add', 'web.test', '192.0.2.2']);
    const listed = await says(['list']);
    assert.match(listed, /db\.test +192\.0\.2\.1\ndb\.test +2001:db8::1\nweb\.test +192\.0\.2\.2/);
    assert.equal(await says(['remove', 'db.test', '192.0.2.1']), '');
    await says(['remove', 'WEB.test']);
    assert.equal(await says(['add', 'Bücher.test', '::1']), 'xn--bcher-kva.test is ::1.\n');
    await says(['remove', 'bücher.test']);
    assert.deepEqual(JSON.parse(await says(['list'], true)), {
      records: [{ name: 'db.test', address: '2001:db8::1' }],
    });
  });

  it('says what is wrong', async () => {
    await refused(['add', 'db.test', 'nowhere'], 400, /must be an IPv4 or IPv6 address/);
    const names = ['a..b', '*.test', '127.1', '0x7f000001', 'localhost', 'a.invalid', 'a b'];
    for (const name of [...names, 'x.resolver.arpa', '\u{1b}[31m']) {
      await refused(['add', name, '192.0.2.1'], 400, /must be one host name/);
    }
    await refused(['remove', 'db.test'], 404, /There is no such record of "db\.test"/);
    const client = new ApiClient({ kind: 'unix', path });
    const body = { name: 'a.test', address: '192.0.2.1', ttl: 1 };
    await assert.rejects(client.post('/v1/dns/records', dnsRecordSchema, body), /The body must be/);
    for (const args of [[], ['list', 'x'], ['add', 'a.test'], ['remove'], ['show']]) {
      await assert.rejects(says(args), UsageError, args.join(' '));
    }
  });

  it('records are bounded', async () => {
    const records = new NameRecords();
    for (let i = 0; i < NAME_RECORDS_MAX; i++) {
      assert.equal(records.add({ name: `${i}.test`, address: ip('192.0.2.1') }), undefined);
    }
    assert.equal(records.add({ name: 'x.test', address: ip('192.0.2.1') }), 'full');
    assert.equal(records.add({ name: '1.test', address: ip('192.0.2.1') }), undefined);
    assert.equal(records.remove('1.test', ip('192.0.2.2')), 0);
    assert.equal(records.remove('1.test'), 1);
    assert.equal(records.add({ name: 'x.test', address: ip('192.0.2.1') }), undefined);
    assert.equal(records.list().length, NAME_RECORDS_MAX);
    for (let i = 0; i < NAME_RECORDS_MAX - 1; i++) {
      network.dnsRecords.add({ name: `${i}.test`, address: ip('192.0.2.1') });
    }
    await says(['add', 'last.test', '192.0.2.1']);
    await refused(['add', 'beyond.test', '192.0.2.1'], 503, /There are 4096 records already/);
  });
});
