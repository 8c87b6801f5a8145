# -DEVENKEEL_SANITIZE=address,undefined instruments everything we compile.
if(EVENKEEL_SANITIZE)
  add_compile_options(-fsanitize=${EVENKEEL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${EVENKEEL_SANITIZE})
endif()
