/* For `@taskfleet/downloads` only: it may change at any time. */
export { type Algorithm, readChecksum } from './checksum-text.ts'
export {
  checkedFolder,
  checkedName,
  firstSafeName,
  isNumbered,
  lastOfPath,
  numberedNames,
} from './file-name.ts'
export { whyBadHeader } from './header-rules.ts'
export { checkedTemplate, filledName, isTemplate } from './name-template.ts'
