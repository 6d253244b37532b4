/** What Node's code for a certificate that it does not accept means. */
const TEXTS: ReadonlyMap<string, string> = new Map([
  ['CERT_HAS_EXPIRED', 'its certificate has expired'],
  ['CERT_NOT_YET_VALID', 'its certificate is not valid yet; is the clock right?'],
  ['CERT_REVOKED', 'its certificate has been revoked'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'its certificate is signed by itself'],
]);
const UNKNOWN_AUTHORITY: ReadonlySet<string> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/**
 * @param name what the certificate has to be for
 * @returns undefined when `code` is about something else
 */
export function certificateProblem(code: string, name: string): string | undefined {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `its certificate is not for ${name}`;
  if (UNKNOWN_AUTHORITY.has(code)) {
    return 'its certificate is of an authority that Node does not know; NODE_EXTRA_CA_CERTS=FILE adds one';
  }
  return TEXTS.get(code);
}
