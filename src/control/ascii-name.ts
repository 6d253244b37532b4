import { domainToASCII } from 'node:url';

/** What else is in a text, `domainToASCII` decodes, leaves out or takes for the end of the name. */
const OF_NAMES = /^[\w.\-\u{80}-\u{10ffff}]+$/u;

/** A name, or `*.NAME`, in A-labels. A text that none can be made of is kept, for the message. */
export function asciiName(text: string): string {
  const wildcard = text.startsWith('*.') ? '*.' : '';
  const given = text.slice(wildcard.length);
  if (/^[\x20-\x7e]*$/.test(given) || !OF_NAMES.test(given)) return text;
  const name = domainToASCII(given);
  return name === '' ? text : `${wildcard}${name}`;
}
