/**
 * What each option may be, whichever way it came: one schema for the command line (where every value is
 * text) and for YAML. Judges values one by one; `resolve.ts` judges them together.
 */
import { isIP } from 'node:net';
import * as z from 'zod';
import { type BindRule, parseBindRule } from '../control/ports/bind-rules.ts';
import {
  type DnsUpstream,
  type DnsZone,
  LOG_FORMATS,
  LOG_LEVELS,
  type StaticLease,
} from '../network/options.ts';
import { parseTargetRule, TARGET_RULE_FORM, type TargetRule } from '../proxy/agent/target-rules.ts';
import { type PublishSpec, SOURCE_ADDRESSES } from '../proxy/ports/publish-spec.ts';
import { PublishSyntaxError, parsePublish } from '../proxy/ports/publish-text.ts';
import { type LinkSpec, LinkSpecError, parseLinkSpec } from '../transports/link-spec.ts';
import { formatMuxLink, MuxLinkSpecError, parseMuxLink } from '../transports/mux/mux-link-spec.ts';
import { parseEndpoint, unixPathProblem } from '../transports/stream-address.ts';
import { parseIpv4, parseNetwork } from './ipv4-text.ts';
import { LATER_OPTIONS, RUN_OPTIONS } from './option-table.ts';
import { bad, decimal, ok, type Parsed } from './parsed.ts';

export const MTU_MIN = 576;
export const MTU_MAX = 65_520;
export const BUSY_POLL_MAX_US = 10_000;

/** The settings of one source, or of all merged; what is absent was not set. */
export interface Settings {
  readonly name?: string | undefined;
  readonly listen?: readonly string[] | undefined;
  readonly subnet?: string | undefined;
  readonly gateway?: string | undefined;
  /** `none` or an address. */
  readonly hostIp?: string | undefined;
  readonly mtu?: number | undefined;
  readonly publish?: readonly string[] | undefined;
  readonly sourceAddress?: (typeof SOURCE_ADDRESSES)[number] | undefined;
  readonly guestApi?: boolean | undefined;
  readonly mux?: readonly string[] | undefined;
  readonly muxAllow?: readonly string[] | undefined;
  readonly guestApiBind?: readonly string[] | undefined;
  readonly dns?: readonly DnsUpstream[] | undefined;
  readonly dnsSearch?: readonly string[] | undefined;
  readonly dnsZone?: readonly DnsZone[] | undefined;
  readonly hosts?: string | undefined;
  readonly leaseFile?: string | undefined;
  readonly staticLease?: readonly StaticLease[] | undefined;
  readonly api?: ApiSetting | undefined;
  readonly apiTokenFile?: string | undefined;
  readonly pidFile?: string | undefined;
  readonly readyFd?: number | undefined;
  readonly exitWithGuest?: boolean | undefined;
  readonly verifyChecksums?: boolean | undefined;
  readonly busyPoll?: number | undefined;
  readonly logLevel?: (typeof LOG_LEVELS)[number] | undefined;
  readonly logFormat?: (typeof LOG_FORMATS)[number] | undefined;
}

export type ApiSetting =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly address: string; readonly port: number };

const text = z.string('must be text');

function parsed<T>(parse: (value: string) => Parsed<T>) {
  return text.transform((value, ctx): T => {
    const result = parse(value);
    if ('value' in result) return result.value;
    ctx.addIssue({ code: 'custom', message: result.problem });
    return z.NEVER;
  });
}

/** Checked, and kept as it was written. */
const valid = (parse: (value: string) => Parsed<unknown>) =>
  parsed((value) => {
    const result = parse(value);
    return 'problem' in result ? result : ok(value);
  });

function integer(min: number, max: number) {
  const message = `must be an integer from ${min} to ${max}`;
  return z.union([z.number(), z.string()], message).transform((value, ctx): number => {
    const result = decimal(String(value), min, max);
    if (result !== undefined) return result;
    ctx.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
}

const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, `must be one of ${values.join(', ')}`);
const yesNo = () => z.boolean('must be true or false');
const onOff = () =>
  z
    .union([z.boolean(), z.enum(['on', 'off'])], 'must be on or off')
    .transform((value) => value === true || value === 'on');
const list = <T extends z.ZodType>(item: T) => z.array(item, 'must be a list or one value');

export function parseName(value: string): Parsed<string> {
  return /^[a-z0-9][a-z0-9._-]{0,62}$/i.test(value)
    ? ok(value)
    : bad('must be 1 to 63 letters, digits, "-", "_" or ".", the first a letter or digit');
}

export function parseApi(value: string): Parsed<ApiSetting> {
  if (value.startsWith('unix:')) {
    const path = value.slice('unix:'.length);
    const problem = unixPathProblem(path);
    return problem === undefined ? ok({ kind: 'unix', path }) : bad(problem);
  }
  const endpoint = parseEndpoint(value.startsWith('tcp:') ? value.slice('tcp:'.length) : '');
  return endpoint === undefined
    ? bad('must be unix:PATH or tcp:IP:PORT')
    : ok({ kind: 'tcp', address: endpoint.host, port: endpoint.port });
}

export function parseLink(value: string): Parsed<LinkSpec> {
  try {
    return ok(parseLinkSpec(value));
  } catch (error) {
    if (error instanceof LinkSpecError) return bad(error.why);
    throw error;
  }
}

/** @returns a specification for every port of a range */
function parsePublication(value: string): Parsed<readonly PublishSpec[]> {
  try {
    return ok(parsePublish(value));
  } catch (error) {
    if (error instanceof PublishSyntaxError) return bad(error.why);
    throw error;
  }
}

function parseRule(value: string): Parsed<BindRule> {
  const rule = parseBindRule(value);
  return rule === undefined
    ? bad('must be ADDRESS:PORT or ADDRESS:FIRST-LAST, such as 127.0.0.1:1024-65535 or *:8080')
    : ok(rule);
}

/** @returns its text with an absolute path */
function parseMux(value: string): Parsed<string> {
  try {
    return ok(formatMuxLink(parseMuxLink(value)));
  } catch (error) {
    if (error instanceof MuxLinkSpecError) return bad(error.why);
    throw error;
  }
}

function parseMuxTarget(value: string): Parsed<TargetRule> {
  const rule = parseTargetRule(value);
  return rule === undefined ? bad(`must be ${TARGET_RULE_FORM}`) : ok(rule);
}

function parseUpstream(value: string): Parsed<DnsUpstream> {
  const [address = '', portText = '53', more] = value.split('#');
  const port = decimal(portText, 1, 65_535);
  return isIP(address) === 0 || port === undefined || more !== undefined
    ? bad('must be IP or IP#PORT, such as 9.9.9.9 or 127.0.0.1#5353')
    : ok({ address, port });
}

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

function parseDomain(value: string): Parsed<string> {
  const name = value.toLowerCase().replace(/\.$/, '');
  return name.length <= 253 && name.split('.').every((label) => LABEL.test(label))
    ? ok(name)
    : bad('must be a domain name such as corp.example');
}

function parseZone(value: string): Parsed<DnsZone> {
  const [zoneText = '', address = '', more] = value.split('=');
  const zone = parseDomain(zoneText);
  const ip = parseIpv4(address);
  return 'problem' in zone || 'problem' in ip || more !== undefined
    ? bad('must be ZONE=IPV4, such as apps.example=192.168.127.2')
    : ok({ zone: zone.value, address });
}

function parseStaticLease(value: string): Parsed<StaticLease> {
  const [, macText = '', address = '', hostname] = /^([^=]*)=([^,]*)(?:,(.*))?$/.exec(value) ?? [];
  const mac = macText.toLowerCase().replaceAll('-', ':');
  const isUnicast = /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(mac);
  const isNamed = hostname === undefined || LABEL.test(hostname.toLowerCase());
  return isUnicast && isNamed && 'value' in parseIpv4(address)
    ? ok({ mac, address, hostname: hostname?.toLowerCase() })
    : bad('must be MAC=IPV4[,HOSTNAME], such as 52:54:00:12:34:56=192.168.127.10,build');
}

const hostIp = (value: string): Parsed<string> =>
  value === 'none' || 'value' in parseIpv4(value)
    ? ok(value)
    : bad('must be an IPv4 address, or none to close the loopback of the host to guests');

const path = (value: string): Parsed<string> =>
  value === '' || value.includes('\0') ? bad('must name a file') : ok(value);

type Values = Required<Settings>;

/** Made when a value is to be judged: `hawser run` is ready sooner without those of options that were not given. */
const SCHEMAS: { readonly [K in keyof Values]: () => z.ZodType<Values[K]> } = {
  name: () => parsed(parseName),
  listen: () => list(valid(parseLink)).min(1, 'must name at least one link'),
  subnet: () => valid(parseNetwork),
  gateway: () => parsed(parseIpv4),
  hostIp: () => parsed(hostIp),
  mtu: () => integer(MTU_MIN, MTU_MAX),
  publish: () => list(valid(parsePublication)),
  sourceAddress: () => oneOf(SOURCE_ADDRESSES),
  guestApi: onOff,
  mux: () => list(parsed(parseMux)),
  muxAllow: () => list(valid(parseMuxTarget)),
  guestApiBind: () => list(valid(parseRule)),
  dns: () => list(parsed(parseUpstream)).min(1, 'must name at least one resolver'),
  dnsSearch: () => list(parsed(parseDomain)),
  dnsZone: () => list(parsed(parseZone)),
  hosts: () => parsed(path),
  leaseFile: () => parsed(path),
  staticLease: () => list(parsed(parseStaticLease)),
  api: () => parsed(parseApi),
  apiTokenFile: () => parsed(path),
  pidFile: () => parsed(path),
  readyFd: () => integer(1, 1_048_575),
  exitWithGuest: yesNo,
  verifyChecksums: yesNo,
  busyPoll: () => integer(0, BUSY_POLL_MAX_US),
  logLevel: () => oneOf(LOG_LEVELS),
  logFormat: () => oneOf(LOG_FORMATS),
};

const LATER: ReadonlySet<string> = new Set(LATER_OPTIONS.map(({ key }) => key));

const REPEATABLE = new Set(
  [...RUN_OPTIONS, ...LATER_OPTIONS].filter((row) => row.repeatable).map(({ key }) => key),
);

export interface SettingProblem {
  readonly key: string;
  /** Index into the list, when the value is one of several. */
  readonly index: number | undefined;
  /** The offending value, printable; undefined when the key itself is wrong. */
  readonly value: string | undefined;
  readonly allowed: string;
}

export type Checked =
  | { readonly settings: Settings }
  | { readonly problems: readonly SettingProblem[] };

/** Judge what one source said: values by key, a repeatable one alone or in a list. */
export function checkSettings(raw: Readonly<Record<string, unknown>>): Checked {
  const settings: WritableSettings = {};
  const problems: SettingProblem[] = [];
  for (const [key, given] of Object.entries(raw)) {
    const value: unknown = REPEATABLE.has(key) && !Array.isArray(given) ? [given] : given;
    if (isSetting(key)) problems.push(...take(settings, key, value));
    else problems.push(wrongKey(key, value));
  }
  return problems.length === 0 ? { settings } : { problems };
}

type WritableSettings = { -readonly [K in keyof Values]?: Values[K] };

const isSetting = (key: string): key is keyof Values => Object.hasOwn(SCHEMAS, key);

/** @returns what is wrong with `value`; it is taken when there is nothing */
function take<K extends keyof Values>(
  settings: WritableSettings,
  key: K,
  value: unknown,
): SettingProblem[] {
  const result = SCHEMAS[key]().safeParse(value);
  if (!result.success) return result.error.issues.map((issue) => describe(key, value, issue));
  settings[key] = result.data;
  return [];
}

function describe(key: string, value: unknown, issue: z.core.$ZodIssue): SettingProblem {
  const position = issue.path[0];
  const index = typeof position === 'number' ? position : undefined;
  const one: unknown = index !== undefined && Array.isArray(value) ? value[index] : value;
  return { key, index, value: printable(one), allowed: issue.message };
}

/** Of a later version, or of none. */
function wrongKey(key: string, value: unknown): SettingProblem {
  if (LATER.has(key)) {
    const allowed = 'is not supported yet by this version of hawser: leave it out';
    return { key, index: undefined, value: printable(value), allowed };
  }
  const keys = RUN_OPTIONS.map((row) => row.key);
  const plain = key.toLowerCase().replace(/[^a-z0-9]/g, '');
  const near = keys.find((known) => known.toLowerCase() === plain);
  const allowed =
    near === undefined
      ? `is not a known key: allowed are ${keys.join(', ')}`
      : `is not a known key: did you mean ${near}?`;
  return { key, index: undefined, value: undefined, allowed };
}

/** As the user wrote it where that is harmless on a terminal, else as JSON; never long. */
function printable(value: unknown): string {
  if (typeof value === 'string' && /^[\x21-\x7e]{1,100}$/.test(value)) return value;
  let shown: string;
  try {
    shown = JSON.stringify(value) ?? 'nothing';
  } catch {
    shown = 'a structure that contains itself';
  }
  return shown.length > 100 ? `${shown.slice(0, 100)}…` : shown;
}
