import { visibleLine } from '../view/text.ts'

interface Props {
  text: string
  max?: number
  className?: string
}

/** A line of text from outside: always text, always one direction of its own, nothing in it hidden. */
export function Foreign({ text, max = 200, className }: Props) {
  return (
    <bdi className={className} title={text.length > 40 ? visibleLine(text, 600) : undefined}>
      {visibleLine(text, max)}
    </bdi>
  )
}
