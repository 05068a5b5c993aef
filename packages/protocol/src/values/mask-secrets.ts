/** Matches names that are used only for secrets, also as a part of a longer name. */
const SECRET_NAME =
  /token|secret|passw|passphrase|api[-_]?key|access[-_]?key|private[-_]?key|credential|signature|authori[sz]ation|cookie|(?:^|[-_.])(?:auth|pwd|sig|sid|session|jwt|otp)$/i

/** Headers whose whole value is a secret, and other names in the same notation. */
const HEADER =
  /\b((?:x-[\w-]{0,60}(?:key|token|secret|auth|signature)|api-key|aws_session_token)\s*:\s*)[^\s,;&"'<>]+/gi

/**
 * Masks the secrets in a text that people will read: users and passwords in addresses, `token=…` and similar parameters in
 * queries and forms, `"password": "…"`, authentication headers, JSON Web Tokens and keys of a fleet.
 *
 * Its time is proportional to the length: no pattern starts again in text that a failed match has passed, or it reads only a
 * fixed number of characters. Names are read backwards from their `=` or `:`, so that text without these costs next to nothing.
 */
export function maskSecrets(text: string): string {
  return text
    .replace(/(:\/\/)[^/\s"'<>?#]*@/g, '$1***@')
    .replace(/(?<![\w-])(tf_[0-9a-f]{12}_)[\w-]{43}(?![\w-])/g, '$1***')
    .replace(/(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, '***')
    .replace(/\b(bearer|basic)\s+[\w.~+/=-]{8,}/gi, '$1 ***')
    .replace(/\b((?:proxy-)?authorization\s*:)(?!\s*(?:bearer|basic)\s+\*\*\*)[^\r\n"']+/gi, '$1 ***')
    .replace(/\b((?:set-)?cookie\s*:\s*)[^\r\n"']+/gi, '$1***')
    .replace(HEADER, '$1***')
    .replace(/([?&]key=)[^&#\s"'<>]+/gi, '$1***')
    .replace(/=(?<=([\w.-]{1,64})=)("[^"]*"|'[^']*'|[^\s&#;,"'<>()[\]{}\\]+)/g, (whole, name: string) =>
      SECRET_NAME.test(name) ? '=***' : whole,
    )
    .replace(
      /:(?<=\2([\w.-]{1,64})(\\?["']|)\s{0,16}:)(\s{0,16})(\\?["'`])[^"'`\n]{1,4096}\4/g,
      (whole, name: string, _: string, space: string, quote: string) =>
        SECRET_NAME.test(name) ? `:${space}${quote}***${quote}` : whole,
    )
}
