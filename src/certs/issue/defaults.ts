// The defaults of certificates that are issued, and how far they can be changed. Numbers and names
// only: the command line shows them in its help without loading the certificate library.

/** The kinds of key that are made here; the first is the default. */
export const KEY_TYPES = ["ecdsa-p256", "rsa-4096"] as const;

/** A kind of key that is made here. */
export type KeyType = typeof KEY_TYPES[number];

/** How long a root is valid, in days: replacing a root means a new certificate for every connector. */
export const ROOT_VALID_DAYS = 3650;
/** How long a leaf is valid, in days: a stolen one cannot be revoked, only outlived. */
export const LEAF_VALID_DAYS = 365;
/** The longest validity that can be asked for, in days: a century, so that no date outgrows its field. */
export const MAX_VALID_DAYS = 36_500;
/** The common name of a leaf that is given none: it says nothing of who has it. */
export const DEFAULT_COMMON_NAME = "Connector Leaf";
