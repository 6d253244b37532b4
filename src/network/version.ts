/** The version of package.json; a test compares them. Not read from there, because a program may bundle hawser. */
export const VERSION = '0.1.0';

export const packageVersion = (): string => VERSION;
