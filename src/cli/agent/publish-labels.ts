/**
 * What containers and Services say of their ports, as labels or annotations: `hawser.publish=no` leaves all out,
 * `hawser.port.8080=no` one port, and `hawser.port.8080=9090` has 9090 on the host for it.
 */
import { member } from '../docker-proxy/lease.ts';

const PUBLISH = 'hawser.publish';
const PORT_PREFIX = 'hawser.port.';
const NO: ReadonlySet<unknown> = new Set(['no', 'false', 'off', '0']);
const PORT_MAX = 65_535;

export const isLeftOut = (labels: unknown): boolean => NO.has(member(labels, PUBLISH));

/**
 * @param names that the labels may call the port by, the first that they have counts
 * @returns the port on the host; undefined: it is left out
 */
export function portByLabels(
  labels: unknown,
  names: readonly (string | number)[],
  port: number,
): number | undefined {
  const [label] = names.flatMap((name) => member(labels, `${PORT_PREFIX}${name}`) ?? []);
  if (NO.has(label)) return undefined;
  const other = typeof label === 'string' && /^\d{1,5}$/.test(label) ? Number(label) : port;
  return isPort(other) ? other : port;
}

export const isPort = (number: unknown): number is number =>
  typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= PORT_MAX;

export const arrayOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
