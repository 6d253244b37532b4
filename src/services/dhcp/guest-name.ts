/** The name that a guest gives when it asks for an address; guests may send anything. */
const NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62})$/;

/** @returns undefined where it may not be shown and resolved */
export const guestName = (claimed: string): string | undefined =>
  NAME.test(claimed) ? claimed : undefined;
