/** Publications as data, as a program without types may bring them: what is none must not listen anywhere. */
import { isAbsolute } from 'node:path';
import * as z from 'zod';
import { IpAddress } from '../base/ip-address.ts';
import { once } from '../base/once.ts';
import {
  type GuestChoice,
  type GuestName,
  parseGuestName,
} from '../proxy/ports/publication-guest.ts';
import {
  CARRIERS,
  PROXY_PROTOCOLS,
  PublishError,
  type PublishSpec,
  SOURCE_ADDRESSES,
  type UnixSpec,
} from '../proxy/ports/publish-spec.ts';
import { MAX_PORT, pathProblem } from '../proxy/ports/publish-text.ts';
import { anyText, problemText, readArgument } from './call-arguments.ts';
import { integer, oneOf } from './option-schema.ts';

/** What its parts mean together is checked when it is published. @throws PublishError */
export function readPublication(given: unknown): PublishSpec {
  const isObject = typeof given === 'object' && given !== null;
  const isUnix = isObject && Reflect.get(given, 'protocol') === 'unix';
  const read = isUnix
    ? readArgument(unixSchema(), given, 'a publication')
    : readArgument(portSchema(), given, 'a publication');
  if ('problems' in read) throw syntaxError(problemText(read.problems));
  if (!isUnix && isObject && !('hostAddress' in given)) throw syntaxError(NO_HOST_ADDRESS);
  return read.value;
}

/** Left out by mistake it would be every address. */
const NO_HOST_ADDRESS =
  'hostAddress must be given: an IpAddress, "localhost", or undefined for every address';

const syntaxError = (why: string): PublishError =>
  new PublishError('ERR_HAWSER_PUBLISH_SYNTAX', `cannot publish: ${why}`);

const address = (): z.ZodType<IpAddress> =>
  z.instanceof(IpAddress, { error: AN_ADDRESS }).refine(isWhole, AN_ADDRESS);

const AN_ADDRESS = 'must be an IpAddress';

/** One that was made of a text has no words, or wrong ones. */
const isWhole = ({ a, b, c, d }: IpAddress): boolean =>
  [a, b, c, d].every((word) => Number.isInteger(word) && word === (word | 0));

/** The directory of a program may change. */
const absolute = (): z.ZodType<string> =>
  z.string(A_PATH).refine((value) => isAbsolute(value) && !value.includes('\0'), A_PATH);

const A_PATH = 'must be an absolute path';

/** Of a Unix socket. */
const path = (): z.ZodType<string> =>
  z.string('must be a path').superRefine((value, { addIssue }) => {
    const problem = pathProblem(value);
    if (problem !== undefined)
      addIssue({ code: 'custom', message: `must be a path: it ${problem}` });
  });

/** Of a key that programs with types must name. */
const orUndefined = <T>(schema: z.ZodType<T>): z.ZodType<T | undefined> => schema.optional();

const GUEST_FORM = "must be { kind: 'name', name } or { kind: 'mac', mac }";

/** In lower case, as names are looked up. */
const guestName = (): z.ZodType<GuestName> =>
  z.unknown().transform((value, { addIssue }): GuestName => {
    const { kind, name, mac }: Readonly<Record<string, unknown>> = { ...Object(value) };
    const text = kind === 'name' ? name : mac;
    const parsed = typeof text === 'string' ? parseGuestName(text) : undefined;
    if (parsed?.kind === kind && parsed !== undefined) return parsed;
    addIssue({ code: 'custom', message: GUEST_FORM });
    return z.NEVER;
  });

const guestSide = once(() => ({
  guestAddress: orUndefined(address()),
  guest: guestName().optional(),
  guestPort: integer(0, MAX_PORT),
  guestPath: path().optional(),
  via: oneOf(CARRIERS).optional(),
  sourceAddress: oneOf(SOURCE_ADDRESSES).optional(),
  proxyProtocol: oneOf(PROXY_PROTOCOLS).optional(),
  annotation: anyText().optional(),
  asked: z
    .strictObject({ host: anyText(), guest: anyText() }, 'must be { host, guest }')
    .optional(),
}));

const portSchema = once(() =>
  z
    .strictObject({
      protocol: z.enum(['tcp', 'udp'], 'must be tcp, udp or unix'),
      hostAddress: orUndefined(
        z.union([z.literal('localhost'), address()], 'must be an IpAddress, or "localhost"'),
      ),
      hostPort: integer(0, MAX_PORT),
      ...guestSide(),
    })
    .refine(hasOneGuest, ONE_GUEST)
    .refine(hasPort, GUEST_PORT),
);

const unixSchema = once(() =>
  z
    .strictObject({
      protocol: z.literal('unix'),
      hostPath: path(),
      ssh: z
        .strictObject(
          { user: anyText(), keyFile: absolute(), passphrase: orUndefined(anyText()) },
          'must be { user, keyFile, passphrase }',
        )
        .optional(),
      ...guestSide(),
    })
    .refine(hasOneGuest, ONE_GUEST)
    .refine(hasPort, GUEST_PORT)
    .refine(({ ssh, guestPath }) => ssh === undefined || guestPath !== undefined, SSH_PATH),
);

const hasOneGuest = ({ guest, guestAddress }: GuestChoice): boolean =>
  guest === undefined || guestAddress === undefined;

const hasPort = ({
  guestPort,
  guestPath,
  ssh,
}: Pick<UnixSpec, 'guestPort' | 'guestPath' | 'ssh'>): boolean =>
  guestPort !== 0 || (guestPath !== undefined && ssh === undefined);

const ONE_GUEST = { path: ['guest'], error: 'must not be given beside guestAddress' };
const SSH_PATH = { path: ['guestPath'], error: 'must be the path that ssh leads to' };
const GUEST_PORT = { path: ['guestPort'], error: `must be an integer from 1 to ${MAX_PORT}` };
