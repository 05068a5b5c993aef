import { Foreign } from './foreign.tsx'

interface Props {
  error: { code: string; message: string }
  max: number
  className?: string
}

export function ErrorText({ error: { code, message }, max, className = '' }: Props) {
  return (
    <>
      <span className="font-mono text-xs font-semibold text-bad">
        <Foreign text={code} max={60} />
      </span>{' '}
      <Foreign text={message} max={max} className={className} />
    </>
  )
}
