/* SPDX-License-Identifier: GPL-3.0-or-later */
/* completion - scripts for shells, from the table of commands. This file does not know what an option or word means, so it
 * offers file names wherever a value is expected. */
#include <string.h>

#include "agent/help.h"
#include "base/mem.h"
#include "base/text.h"

/* "--config --help ..." of a command, or of none. */
static void put_options(struct fl_text *out, const struct fl_command *command)
{
	struct fl_option options[FL_OPTIONS_MAX];
	size_t common = 0, count = fl_command_options(command, options, &common);

	for (size_t i = 0; i < count; i++) {
		fl_text_print(out, "%s--%s", i > 0 ? " " : "", options[i].name);
	}
}

static void put_names(struct fl_text *out)
{
	for (size_t i = 0; i < fl_command_count; i++) {
		fl_text_print(out, "%s%s", i > 0 ? " " : "", fl_commands[i]->name);
	}
}

/* Inside of '...', in all three shells. */
static void put_quoted(struct fl_text *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\'') {
			fl_text_print(out, "'\\''");
		} else {
			fl_text_put(out, text, 1);
		}
	}
}

static void put_bash(struct fl_text *out)
{
	fl_text_print(out, "%s",
		      "# bash completion for fairlead-agent\n"
		      "_fairlead_agent() {\n"
		      "\tlocal word=${COMP_WORDS[COMP_CWORD]} command= i\n"
		      "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		      "\t\tcase ${COMP_WORDS[i]} in\n"
		      "\t\t-c | --config) ((i++)) ;;\n"
		      "\t\t-*) ;;\n"
		      "\t\t*) command=${COMP_WORDS[i]}; break ;;\n"
		      "\t\tesac\n"
		      "\tdone\n"
		      "\tlocal options names=\n"
		      "\tcase $command in\n");
	for (size_t i = 0; i < fl_command_count; i++) {
		fl_text_print(out, "\t%s) options='", fl_commands[i]->name);
		put_options(out, fl_commands[i]);
		fl_text_print(out, "' ;;\n");
	}
	fl_text_print(out, "\t*) options='");
	put_options(out, NULL);
	fl_text_print(out, "' ;;\n\tesac\n\t[[ -n $command && $command != help ]] || names='");
	put_names(out);
	fl_text_print(out, "%s",
		      "'\n"
		      "\tif [[ $word == -* ]]; then\n"
		      "\t\tmapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
		      "\telse\n"
		      "\t\tmapfile -t COMPREPLY < <(compgen -W \"$names\" -- \"$word\")\n"
		      "\tfi\n"
		      "}\n"
		      "complete -o default -F _fairlead_agent fairlead-agent\n");
}

static void put_zsh(struct fl_text *out)
{
	fl_text_print(out, "%s",
		      "#compdef fairlead-agent\n"
		      "# zsh completion for fairlead-agent\n"
		      "_fairlead_agent() {\n"
		      "\tlocal -a commands options\n"
		      "\tcommands=(\n");
	for (size_t i = 0; i < fl_command_count; i++) {
		fl_text_print(out, "\t\t'%s:", fl_commands[i]->name);
		put_quoted(out, fl_commands[i]->summary);
		fl_text_print(out, "'\n");
	}
	fl_text_print(out, "%s",
		      "\t)\n"
		      "\tif ((CURRENT == 2)); then\n"
		      "\t\t_describe command commands\n"
		      "\t\treturn\n"
		      "\tfi\n"
		      "\tcase $words[2] in\n");
	for (size_t i = 0; i < fl_command_count; i++) {
		fl_text_print(out, "\t%s) options=(", fl_commands[i]->name);
		put_options(out, fl_commands[i]);
		fl_text_print(out, ") ;;\n");
	}
	fl_text_print(out, "%s",
		      "\tesac\n"
		      "\tif [[ $PREFIX == -* ]]; then\n"
		      "\t\tcompadd -- $options\n"
		      "\telif [[ $words[2] == help ]]; then\n"
		      "\t\t_describe command commands\n"
		      "\telse\n"
		      "\t\t_files\n"
		      "\tfi\n"
		      "}\n"
		      "if [[ $funcstack[1] == _fairlead_agent ]]; then\n"
		      "\t_fairlead_agent \"$@\"\n"
		      "else\n"
		      "\tcompdef _fairlead_agent fairlead-agent\n"
		      "fi\n");
}

static void put_fish_options(struct fl_text *out, const struct fl_command *command)
{
	struct fl_option options[FL_OPTIONS_MAX];
	size_t common = 0, count = fl_command_options(command, options, &common);

	for (size_t i = 0; i < count; i++) {
		fl_text_print(out,
			      "complete -c fairlead-agent -n '__fish_seen_subcommand_from %s' "
			      "-l %s%s\n",
			      command->name, options[i].name, options[i].has_value ? " -r" : "");
	}
}

static void put_fish(struct fl_text *out)
{
	fl_text_print(out, "# fish completion for fairlead-agent\n");
	for (size_t i = 0; i < fl_command_count; i++) {
		fl_text_print(out,
			      "complete -c fairlead-agent -n __fish_use_subcommand -f -a %s -d '",
			      fl_commands[i]->name);
		put_quoted(out, fl_commands[i]->summary);
		fl_text_print(out, "'\n");
		put_fish_options(out, fl_commands[i]);
	}
}

bool fl_completion_put(const char *shell, struct fl_text *out)
{
	static const struct {
		const char *shell;
		void (*put)(struct fl_text *out);
	} scripts[] = {{"bash", put_bash}, {"zsh", put_zsh}, {"fish", put_fish}};

	for (size_t i = 0; i < FL_COUNT_OF(scripts); i++) {
		if (strcmp(scripts[i].shell, shell) == 0) {
			scripts[i].put(out);
			return true;
		}
	}
	return false;
}
