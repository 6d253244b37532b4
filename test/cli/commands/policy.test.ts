import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { type PolicyRequest, policyCommand } from '../../../src/cli/commands/policy.ts';
import { ApiClient, ApiClientError } from '../../../src/control/client.ts';
import { policyStateSchema } from '../../../src/control/policy-schema.ts';
import type { PolicyDenialView } from '../../../src/control/policy-view.ts';
import type { FakeNetwork } from '../fake-network.ts';
import { ServedNetwork } from '../served-network.ts';

describe('hawser policy', () => {
  let served: ServedNetwork;
  let dir: string;
  let path: string;
  let network: FakeNetwork;

  beforeEach(async () => {
    served = await new ServedNetwork().serve();
    ({ dir, path, network } = served);
  });
  afterEach(() => served.close());

  const request = (args: readonly string[], more: Partial<PolicyRequest> = {}): PolicyRequest => ({
    ...{ name: 'default', api: `unix:${path}`, apiTokenFile: undefined, json: false },
    ...{ args, guest: undefined, for: undefined, protocol: undefined },
    ...{ port: undefined, anyGuest: false, anyPort: false, ...more },
  });
  const said = async (args: readonly string[], more?: Partial<PolicyRequest>): Promise<string> =>
    (await policyCommand(request(args, more))).text;
  const client = (): ApiClient => new ApiClient({ kind: 'unix', path });

  it('shows that there is none, sets one, and adds rules in front', async () => {
    assert.equal(await said(['show']), 'There is no policy: guests may go where they like.\n');
    const file = join(dir, 'p.yaml');
    writeFileSync(file, 'preset: internet-only\nmode: observe\nrules: [{deny: {port: 25}}]\n');
    assert.equal(
      await said(['set', file]),
      'generation 1, observes\ndeny *:25\npreset internet-only\n',
    );
    const text = await said(['allow', 'a.test:443/tcp'], { guest: 'build', for: '10m' });
    assert.match(
      text,
      /^generation 2, observes\nallow a\.test:443\/tcp of build until 20\S+Z\ndeny/,
    );
    const { document } = network.policy.state();
    const [rule] = (document?.['rules'] ?? []) as { allow: { until: string } }[];
    const leftMs = Date.parse(rule?.allow.until ?? '') - Date.now();
    assert.ok(leftMs > 590_000 && leftMs <= 600_000, `${leftMs}`);
  });

  it('without a policy the first rule that denies leaves the rest allowed', async () => {
    assert.equal(
      await said(['deny', '10.0.0.0/8']),
      'generation 1\ndeny 10.0.0.0/8\ndefault allow\n',
    );
  });

  it('takes the policy away', async () => {
    await said(['deny', '10.0.0.0/8']);
    assert.equal(await said(['clear']), 'There is no policy: guests may go where they like.\n');
    await assert.rejects(said(['clear', 'all']), /takes nothing/);
  });

  it('a test says why, what is not seen, and its status is the verdict', async () => {
    const unseen =
      'as far as the client states the name in the clear: the host inside TLS (domain fronting) and what the service does for its clients are not seen';
    const yes = await policyCommand(request(['test', 'build', 'a.test:443'], { protocol: 'udp' }));
    assert.deepEqual(yes, {
      text: `allow: build udp (${unseen})\n`,
      status: 0,
    });
    assert.deepEqual(await policyCommand(request(['test', 'build', 'a.test:443/udp'])), yes);
    const no = await policyCommand(request(['test', '*', 'b.test:1']));
    assert.equal(no.status, 1);
    assert.match(no.text, /^deny: {2}tcp \(best effort/);
    const json = await said(['test', 'build', 'a.test:443'], { json: true });
    assert.equal(JSON.parse(json).action, 'allow');
  });

  const denial: PolicyDenialView = {
    id: '7',
    guestId: 1,
    guest: 'tap:vm',
    protocol: 'tcp',
    name: 'a.test',
    address: '192.0.2.1',
    port: 443,
    place: 'outside',
    why: 'default: deny',
    observed: false,
    count: 2,
    first: '2030-01-01T00:00:00.000Z',
    last: '2030-01-01T00:00:01.000Z',
    others: ['b.test'],
  };

  it('denials are listed, with what is at the same address; nothing of a guest reaches the terminal raw', async () => {
    assert.equal(await said(['denials']), 'Nothing was denied.\n');
    network.policy.denied = [
      denial,
      { ...denial, id: '8', name: '\u001b[31mred.test', others: [], count: 1, observed: true },
      { ...denial, id: '9', name: null, address: '2001:db8::1', others: [] },
      { ...denial, id: '10', protocol: 'dns', port: 0, address: null, place: null, others: [] },
    ];
    const when = 'first 2030-01-01T00:00:00.000Z, last 2030-01-01T00:00:01.000Z';
    assert.equal(
      await said(['denials']),
      [
        `7: tap:vm a.test:443/tcp, 2 times, ${when}: default: deny`,
        '    also there: b.test',
        '8: tap:vm \\u{1b}[31mred.test:443/tcp, 1 time, 2030-01-01T00:00:01.000Z: default: deny (observed)',
        `9: tap:vm [2001:db8::1]:443/tcp, 2 times, ${when}: default: deny`,
        `10: tap:vm name a.test, 2 times, ${when}: default: deny`,
        '',
      ].join('\n'),
    );
    assert.equal(JSON.parse(await said(['denials'], { json: true })).denials.length, 4);
  });

  it('an approval says the rule, and what is at the same address', async () => {
    network.policy.denied = [denial];
    const more = { anyGuest: true, anyPort: true, port: '443/tcp' };
    assert.equal(
      await said(['approve', '7'], more),
      'allow a.test:443/tcp\nat the same address: b.test\n',
    );
    assert.match(await said(['approve', '7'], { for: '1h' }), /^allow a\.test until 20/);
    await assert.rejects(said(['approve', '9']), /no denial 9/);
    await assert.rejects(said(['approve']), /takes the id of a denial/);
  });

  it('a suggestion is a document', async () => {
    assert.equal(
      await said(['suggest', 'vm']),
      'default: deny\nrules:\n  - allow:\n      name: a.test\n      guest: vm\n',
    );
    await assert.rejects(said(['suggest', 'a', 'b']), /takes a guest at most/);
  });

  it('the schema of documents', async () => {
    const schema = JSON.parse(await said(['schema']));
    assert.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema');
    assert.deepEqual(Object.keys(schema.properties), ['default', 'preset', 'mode', 'rules']);
  });

  it('what a daemon says about a file is said with the lines of it', async () => {
    const file = join(dir, 'wrong.yaml');
    writeFileSync(file, 'default: deny\nbad: true\nrules:\n  - allow:\n      cidr: nowhere\n');
    await assert.rejects(said(['set', file]), /wrong\.yaml:4: rules\[0\]: must be good$/);
  });

  const wrong: readonly (readonly [readonly string[], RegExp, Partial<PolicyRequest>?])[] = [
    [
      ['delete'],
      /must be one of show, set, clear, allow, deny, test, denials, approve, suggest, schema/,
    ],
    [['show', 'all'], /takes nothing/],
    [['denials', 'build'], /takes nothing/],
    [['set'], /takes a file/],
    [['set', '/nowhere'], /\/nowhere cannot be read/],
    [['allow'], /takes a rule/],
    [['allow', 'a.test:x'], /must be TARGET/],
    [['deny', 'a.test'], /must be a time/, { for: '10 minutes' }],
    [['test', 'build'], /takes a guest and a destination/],
    [['test', '*', 'a.test:1'], /must be tcp, udp or icmp/, { protocol: 'sctp' }],
  ];
  for (const [args, message, more] of wrong) {
    it(`wrong: ${args.join(' ')}`, async () => {
      await assert.rejects(policyCommand(request(args, more)), message);
    });
  }

  it('PUT: the ETag of another policy, no document, and a wrong one are refused', async () => {
    const put = (body: object, headers: Record<string, string>): Promise<Response> =>
      send(path, 'PUT', body, headers);
    assert.equal((await put({ default: 'deny' }, { 'if-match': '"7"' })).status, 412);
    const first = await put({ default: 'deny' }, { 'if-match': '"0-hash 0"' });
    assert.deepEqual([first.status, first.etag], [200, '"1-hash 1"']);
    assert.equal((await put({ default: 'deny' }, { 'if-match': '*' })).status, 200);
    const bad = await put({ bad: true }, {});
    assert.equal(bad.status, 400);
    assert.match(bad.body, /rules\[0\]: must be good/);
    assert.equal((await client().get('/v1/policy', policyStateSchema)).generation, 2);
    const large = { rules: Array.from({ length: 10_000 }, (_, n) => ({ deny: { port: n } })) };
    assert.equal((await put(large, {})).status, 200);
    await assert.rejects(
      client().put('/v1/policy', policyStateSchema, [] as object),
      ApiClientError,
    );
  });
});

interface Response {
  readonly status: number;
  readonly etag: string | undefined;
  readonly body: string;
}

async function send(
  socketPath: string,
  method: string,
  value: object,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  return await new Promise((resolve, reject) => {
    const type = { 'content-type': 'application/json', host: 'hawser', ...headers };
    const outgoing = httpRequest(
      { socketPath, method, path: '/v1/policy', headers: type },
      (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, etag: answer.headers.etag, body }),
        );
      },
    );
    outgoing.on('error', reject).end(JSON.stringify(value));
  });
}
