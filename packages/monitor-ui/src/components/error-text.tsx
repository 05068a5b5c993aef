import { Foreign } from './foreign.tsx'

interface Props {
  error: { code: string; message: string }
  max: number
  className?: string
  /** The colour of the code. Red is for what ended red. */
  tone?: string
}

export function ErrorText({ error: { code, message }, max, className = '', tone = 'text-bad' }: Props) {
  return (
    <>
      <span className={`font-mono text-xs font-semibold ${tone}`}>
        <Foreign text={code} max={60} />
      </span>{' '}
      <Foreign text={message} max={max} className={className} />
    </>
  )
}
