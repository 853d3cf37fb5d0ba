# fish completion for git cj:  git cj completion fish > ~/.config/fish/conf.d/git-cj.fish

function __git_cj_offers
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    if string match -qr '(^|/)git-cj$' -- $before[1]
        set -e before[1]
    else
        set -l at (contains -i -- cj $before)
        or return
        set -e before[1..$at]
    end
    set -l offers (command git-cj _complete $before "$current" 2>/dev/null)
    if test (count $offers) -gt 0
        printf '%s\n' $offers
    else
        __fish_complete_path "$current"
    end
end

function __git_cj_wants_verb
    not __fish_seen_subcommand_from cj; and test (count (commandline -opc)) -eq 1
end

complete -f -c git -n __git_cj_wants_verb -a cj -d 'Launch, watch and reproduce computational experiments'
complete -f -c git -n '__fish_seen_subcommand_from cj' -a '(__git_cj_offers)'
complete -f -c git-cj -a '(__git_cj_offers)'
