import assert from 'node:assert/strict';
import {
  type PolicyContext,
  PolicyProblems,
  readPolicy,
} from '../../../src/network/policy/policy-document.ts';
import { parsePolicyText, problemsIn } from '../../../src/network/policy/policy-file.ts';
import { publicSuffixes } from '../../../src/network/policy/public-suffixes.ts';

const EXAMPLE = `default: deny
rules:
  - allow: { name: '*.example.com', port: 443, protocol: tcp }
  - allow: { guest: build, cidr: 192.0.2.0/24, port: 1024-65535, protocol: udp }
  - deny: { cidr: 10.0.0.0/8 }
  - reject: { name: bücher.example, port: [80, '8000-8010'] }
  - allow: { name: host.docker.internal, port: 5432 }
  - drop: { until: '2030-01-01T00:00:00Z' }
`;

describe('network/policy/policy-document', () => {
  let context: PolicyContext;
  before(async () => {
    const facts = await publicSuffixes();
    const unbound = new Set(['anyone']);
    context = {
      facts,
      instantOf: (epochMs) => epochMs,
      hosts: ['192.168.127.254', 'fd00::254'],
      unbound,
    };
  });
  const read = (text: string): ReturnType<typeof readPolicy> =>
    readPolicy(parsePolicyText(text, 'p.yaml').value, context);
  const sentences = (text: string): readonly string[] => {
    const parsed = parsePolicyText(text, 'p.yaml');
    try {
      readPolicy(parsed.value, context);
    } catch (error) {
      assert.ok(error instanceof PolicyProblems);
      return parsed.sentences(error.problems);
    }
    return [];
  };

  it('more rules than are allowed are refused before YAML is parsed, however they are written', () => {
    const many = 300_000;
    const written = [
      `default: deny\nrules:\n\n  # one\n${'  - deny: { port: 1 }\n'.repeat(many)}`,
      `rules:\n${'- deny:\n    port: 1\n'.repeat(many)}default: deny\n`,
      `default: deny\nrules: [${'{deny: {port: 1}}, '.repeat(many)}]\n`,
      `{"default":"deny","rules":[${'{"deny":{}},'.repeat(many)}{}]}`,
    ];
    const from = process.cpuUsage();
    for (const text of written) {
      assert.throws(() => parsePolicyText(text, 'p.yaml'), {
        message: 'p.yaml: rules: must be at most 100000 rules',
      });
    }
    const { user, system } = process.cpuUsage(from);
    assert.ok(user + system < 4_000_000, `${user + system} us`); // 20 s for one of them, where it is parsed
    for (const text of [
      `default: deny\nrules:\n${'  - deny: { port: [80, 81] }\n'.repeat(200)}`,
      `{"default":"deny","rules":[${'{"deny":{"port":[1,2]}},'.repeat(200)}{"deny":{}}]}`,
    ]) {
      assert.ok(read(text).rules.rules.length >= 200);
    }
  });

  it('a document becomes rules', () => {
    const { rules, warnings } = read(EXAMPLE);
    assert.deepEqual(warnings, []);
    assert.equal(rules.byDefault, 'deny');
    assert.equal(rules.mode, 'enforce');
    assert.deepEqual(
      rules.rules.map(({ text }) => text),
      [
        'allow *.example.com:443/tcp',
        'allow 192.0.2.0/24:1024-65535/udp of build',
        'deny 10.0.0.0/8',
        'reject bücher.example:80,8000-8010',
        'allow host:5432',
        'drop * until 2030-01-01T00:00:00Z',
      ],
    );
    assert.deepEqual(rules.rules[3]?.name, { name: 'xn--bcher-kva.example', isWildcard: false });
    assert.deepEqual(rules.rules[3]?.ports, [
      { from: 80, to: 80 },
      { from: 8_000, to: 8_010 },
    ]);
    assert.equal(rules.rules[4]?.place, 'host');
    assert.equal(rules.rules[5]?.until, Date.UTC(2030, 0, 1));
  });

  it('the name of a static lease that is bound to no link is nobody for sure', () => {
    assert.match(
      sentences('default: deny\nrules:\n - allow: {guest: anyone}\n').join(),
      /p\.yaml:3: .*guest: .*bind/,
    );
  });

  it('the host is one thing, however it is written', () => {
    for (const text of [
      ...['name: HOST.docker.internal', 'name: host.hawser.internal.', 'name: 127.0.0.1'],
      ...['cidr: 127.0.0.1/32', "cidr: '0:0::1'", "cidr: '::1/128'", "cidr: '::ffff:127.0.0.1'"],
      ...['cidr: 192.168.127.254', 'cidr: 192.168.127.254/32', "cidr: 'FD00:0::254'"],
    ]) {
      const [rule] = read(`default: allow\nrules: [{deny: {${text}}}]`).rules.rules;
      assert.deepEqual(
        [rule?.place, rule?.name, rule?.prefix],
        ['host', undefined, undefined],
        text,
      );
    }
    for (const text of ['cidr: 127.0.0.0/8', 'name: xhost.docker.internal', "cidr: '::1/64'"]) {
      const [rule] = read(`default: allow\nrules: [{deny: {${text}}}]`).rules.rules;
      assert.equal(rule?.place, undefined, text);
    }
  });

  it('Unix sockets of the host are a port of it', () => {
    const [rule] = read('default: deny\nrules: [{allow: {to: host, port: [unix, 22]}}]').rules
      .rules;
    assert.deepEqual(rule?.ports, [
      { from: 0, to: 0 },
      { from: 22, to: 22 },
    ]);
    assert.equal(rule?.text, 'allow host:unix,22');
  });

  it('suffixes below which strangers have names are warned of', () => {
    for (const name of ['github.io', 'amazonaws.com', 's3.amazonaws.com', 'googleapis.com']) {
      const { warnings } = read(`{default: deny, rules: [{allow: {name: '*.${name}'}}]}`);
      assert.equal(warnings.length, 1, name);
    }
    assert.deepEqual(
      read(`{default: deny, rules: [{allow: {name: '*.example.com'}}]}`).warnings,
      [],
    );
  });

  it('problems that were said are found again in the text', () => {
    const text = 'default: deny\nrules:\n  - allow:\n      cidr: nowhere\n      port: 0\n';
    const parsed = parsePolicyText(text, 'p.yaml');
    const said = sentences(text).map((line) => line.replace(/^p\.yaml:\d+: /, ''));
    assert.deepEqual(parsed.sentences(problemsIn(said.join('\n'))), sentences(text));
    assert.deepEqual(parsed.sentences(problemsIn('something else: entirely')), [
      'p.yaml:1: something else: entirely',
    ]);
  });

  it('what resolvers read as an address is no name', () => {
    for (const name of ['127.1', '2130706433', '0x7f000001', '192.0.2.1', '*.0x7f.1']) {
      const text = `default: deny\nrules:\n - deny: {name: '${name}'}\n`;
      assert.match(sentences(text).join(), /p\.yaml:3: .*name: .*give cidr/, name);
    }
  });

  it('an empty file is no document', () => {
    for (const text of ['', '# nothing\n', 'deny\n']) {
      assert.match(
        sentences(text).join(),
        /^p\.yaml:.*must be a document, such as "default: deny"$/,
      );
    }
  });

  it('everything that is wrong is listed at once, each with its line', () => {
    const rules = [
      "{ allow: { name: '*.com', port: 443 } }",
      '{ allow: { nam: a.test } }',
      '{ allow: { name: a.test } }',
      '{ deny: { cidr: 10.0.0.0/40 } }',
    ];
    const said = sentences(
      `default: perhaps\nrules:\n${rules.map((one) => ` - ${one}\n`).join('')}`,
    );
    const places = said.map((line) => /^p\.yaml:\d+: [^ ]+/.exec(line)?.[0]);
    assert.deepEqual(places, [
      'p.yaml:1: default:',
      'p.yaml:3: rules[0].allow.name:',
      'p.yaml:4: rules[1].allow:',
      'p.yaml:6: rules[3].deny.cidr:',
    ]);
  });

  it('of many problems the first are listed', () => {
    const rules = ' - allow: {cidr: x}\n'.repeat(1_000);
    const said = sentences(`default: deny\nrules:\n${rules}`);
    assert.equal(said.length, 101);
    assert.match(said.at(-1) ?? '', /900 problems more/);
  });

  it('JSON is read as well', () => {
    assert.equal(read('{"default":"allow","rules":[]}').rules.byDefault, 'allow');
  });

  it('presets', () => {
    const texts = (text: string): string[] =>
      read(text).rules.rules.map(({ action, place }) => `${action} ${place}`);
    assert.deepEqual(texts('preset: internet-only'), ['deny host', 'deny guest', 'deny private']);
    assert.deepEqual(texts('preset: host-only'), ['allow host', 'allow host']);
    assert.deepEqual(texts('preset: offline'), []);
    assert.equal(read('preset: offline').rules.byDefault, 'deny');
    assert.equal(read('preset: internet-only').rules.byDefault, 'allow');
  });

  const rule = (text: string): string => `default: deny\nrules:\n  - ${text}\n`;
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ['nothing', '', /^p\.yaml: .*must be a document/],
    ['a list', '[]', /^p\.yaml:1: must be a document/],
    ['no default', 'rules: []', /^p\.yaml:1: has neither a default/],
    [
      'two defaults',
      'default: deny\npreset: offline',
      /^p\.yaml:1: default: contradicts the preset/,
    ],
    ['an unknown key', 'default: deny\nmod: x', /^p\.yaml:1: .*mod/],
    ['an unknown default', 'default: ask', /^p\.yaml:1: default: must be allow or deny$/],
    ['no action', rule('{}'), /^p\.yaml:3: rules\[0\]: must have one key of allow, deny/],
    ['two actions', rule('{allow: {}, deny: {}}'), /rules\[0\]: must have one key/],
    ['a key', rule('{allow: {nam: a.test}}'), /^p\.yaml:3: rules\[0\]\.allow: .*nam/],
    [
      'a network',
      rule('{deny: {cidr: 10.0.0.0/33}}'),
      /^p\.yaml:3: rules\[0\]\.deny\.cidr: must be/,
    ],
    ['a port', rule('{allow: {port: 0}}'), /allow\.port: must be ports from 1/],
    ['a range', rule('{allow: {port: 9-8}}'), /allow\.port: must be ports/],
    ['a protocol', rule('{allow: {protocol: sctp}}'), /protocol: must be one of tcp, udp, icmp/],
    ['ports of icmp', rule('{allow: {protocol: icmp, port: 1}}'), /port: icmp has no ports/],
    ['the whole host', rule('{allow: {to: host}}'), /to: the host is opened by port/],
    ['the whole host by name', rule('{allow: {name: HOST.hawser.internal}}'), /opened by port/],
    ['both', rule('{allow: {name: a.test, cidr: 10.0.0.0/8}}'), /cidr: a rule is for a name or/],
    ['**', rule("{allow: {name: '**.a.test'}}"), /name: must be a name or \*\.NAME, .*\*\* is not/],
    ['a NUL', rule('{allow: {name: "a\\0.test"}}'), /name: must be a host name/],
    ['a tab', rule('{allow: {name: "a\\tb.test"}}'), /name: must be a host name/],
    ['an escape', rule('{allow: {name: "b\u00fc%2etest.example"}}'), /name: must be a host name/],
    ['a path', rule('{allow: {name: "b\u00fc.example/x"}}'), /name: must be a host name/],
    ['an empty label', rule('{allow: {name: a..test}}'), /name: must be a host name/],
    ['a wildcard at its end', rule("{allow: {name: 'api.*'}}"), /name: must be a host name/],
    [
      'every name',
      rule("{allow: {name: '*.com'}}"),
      /covers every name that is registered below com/,
    ],
    ['a registry', rule("{allow: {name: '*.co.uk'}}"), /registered below co\.uk/],
    ['a date', rule('{allow: {until: tomorrow}}'), /until: must be a date/],
    ['a list in itself', 'default: deny\nrules: &all [*all]', /^p\.yaml: not usable: /],
    ['YAML', 'default: [', /^p\.yaml:\d: not YAML/],
  ];
  for (const [what, text, expected] of wrong) {
    it(`wrong: ${what}`, () => {
      let all: readonly string[];
      try {
        all = sentences(text);
      } catch (error) {
        all = [error instanceof Error ? error.message : ''];
      }
      assert.equal(all.length, 1);
      assert.match(all[0] ?? '', expected);
    });
  }

  it('every problem is listed', () => {
    assert.equal(sentences('default: x\nmode: y').length, 2);
  });

  it('warns of suffixes that strangers share', () => {
    const { warnings } = read(rule("{allow: {name: '*.github.io'}}"));
    assert.match(warnings.map(({ text }) => text).join(), /^\*\.github\.io is shared/);
    assert.deepEqual(read(rule('{allow: {name: me.github.io}}')).warnings, []);
  });
});
