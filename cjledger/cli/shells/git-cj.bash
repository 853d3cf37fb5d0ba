# bash completion for git cj. In ~/.bashrc:  eval "$(git cj completion bash)"
# It serves "git cj " (git's own completion calls _git_cj) and "git-cj ".

__git_cj_ask ()
{
    command git-cj _complete "$@" 2>/dev/null | cut -f1
}

_git_cj ()
{
    # git's completion has filled words, cword and cur; __git_cmd_idx since git 2.30.
    local first=${__git_cmd_idx:-0}
    while [ "$first" -lt "$cword" ] && [ "${words[first]}" != cj ]; do
        first=$((first + 1))
    done
    __gitcomp_nl "$(__git_cj_ask "${words[@]:first+1:cword-first}")"
}

_git_cj_alone ()
{
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <(__git_cj_ask "${COMP_WORDS[@]:1:COMP_CWORD}")
}

complete -o bashdefault -o default -F _git_cj_alone git-cj
